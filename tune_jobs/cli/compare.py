"""`convnn compare`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from tune_jobs.cli.shared.options import AsJson, Storage, console, print_json, storage_of
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, find_sweep
from tune_jobs.system.visible import visible

if TYPE_CHECKING:
    from tune_jobs.evidence.pairs import Pair, SweepComparison
    from tune_jobs.evidence.paper import PaperComparison

Sweeps = Annotated[
    list[str],
    typer.Argument(
        metavar="SWEEP...", help="One sweep to compare with the published runs; or several to compare with the first."
    ),
]
MetricOf = Annotated[
    str | None,
    typer.Option(
        "--metric", show_default="the first sweep's objective", help="The metric to compare, as in test/loss."
    ),
]
Margin = Annotated[
    float | None,
    typer.Option(
        min=0,
        metavar="POINTS",
        show_default="the difference that the paper shows, at least 1 point or a loss of 0.1",
        help="The difference that must be resolvable: percentage points for an accuracy, the value itself for a loss.",
    ),
]

_SHOWN = 10
"""Lines of a list that are printed; --json has all of them."""


def compare(
    sweeps: Sweeps,
    storage: Storage = None,
    *,
    metric: MetricOf = None,
    margin: Margin = None,
    html: Annotated[
        Path | None, typer.Option(help="Write an HTML page with the paper's figures and your results on top.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the table as CSV, with all digits.")] = None,
    log: Annotated[
        bool, typer.Option("--log", help="Save the page and the table in the sweep's folder and in its MLflow run.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Compare a sweep with the published runs, or sweeps with each other. Example: convnn compare table1-cifar10.

    A single sweep needs the protocol `paper`. Each configuration is compared with its published runs at the same epoch,
    so you can also compare a sweep that was stopped. Several sweeps are compared on the configurations that they share.
    """
    if len(set(sweeps)) < len(sweeps):
        raise UsageError(f"the sweeps to compare must differ, got {', '.join(sweeps)}; leave out the repeated one.")
    folders = [find_sweep(name, storage_of(storage)) for name in sweeps]
    if len(folders) > 1:
        if html or log or margin is not None:
            raise UsageError(
                f"--html, --log and --margin need one sweep, to compare it with the published runs, got "
                f"{len(folders)}; leave out the others."
            )
        _beside(folders, metric, csv, as_json=as_json)
        return
    _against_paper(folders[0], metric, margin, html, csv, log=log, as_json=as_json)


def _against_paper(
    folder: SweepFolder,
    metric: str | None,
    margin: float | None,
    html: Path | None,
    csv: Path | None,
    *,
    log: bool,
    as_json: bool,
) -> None:
    from tune_jobs.evidence.paper import against_paper
    from tune_jobs.evidence.trials import read_sweep
    from tune_jobs.results.recorded.matching import Runs
    from tune_jobs.results.recorded.published import published

    sweep, runs = read_sweep(folder), Runs(published())
    percent = (metric or sweep.metric).endswith("accuracy")
    found = against_paper(sweep, runs, metric, margin / 100 if percent and margin is not None else margin)
    if html or csv or log:
        from tune_jobs.evidence.files import write_beside, write_csv, write_page

        if html:
            write_page(found, runs, html)
        if csv:
            write_csv(found, csv)
        if log:
            write_beside(found, runs, folder)
    if as_json:
        print_json(found.as_dict())
    else:
        _show(found)
        for path in filter(None, (html, csv)):
            print(path)
    if log:
        from tune_jobs.driver.sync import sync_recorded

        place = sync_recorded(folder, lambda text: print(text, file=sys.stderr, flush=True), stays=True)
        print(f"The comparison is in MLflow at {place.uri}, among the artifacts of the sweep's run.", file=sys.stderr)


def _show(found: "PaperComparison") -> None:
    from tune_jobs.evidence import paper_words as told

    print(visible(f"{found.sweep} compared with the published runs (arXiv:2511.14137)"))
    if found.rows:
        print(told.headline(found))
        several = len(told.epochs(found)) > 1
        _print_table([told.cells(row, found.metric, epoch=several) for row in found.rows])
        counts = (f"{found.count(verdict)} {verdict}" for verdict in ("within noise", "different", "not resolvable"))
        print(f"{len(found.rows)} compared: {', '.join(counts)}")
    else:
        print("no trial can be compared")
    for line in told.resolution(found):
        print(visible(line))
    _print_some(told.without(found.not_comparable, found.left_out))
    says = [{"configuration": row.label, **told.paper_says(row, found.metric)} for row in found.rows]
    empty = {name for name in (says[0] if says else ()) if not any(row[name] for row in says)}
    if says and "printed" not in empty:
        print("\nThe paper prints the last epoch of one run, truncated:")
    elif len(says) > 0 and len(empty) < len(says[0]) - 1:
        print("\nThe paper draws the best epoch of one run, chosen on the test images:")
    rows = [{name: text for name, text in row.items() if name not in empty} for row in says]
    if rows and len(rows[0]) > 1:
        _print_table([row for row in rows if any(list(row.values())[1:])])
    for note in told.notes(found):
        print(visible(f"note: {note}"))
    if found.rows:
        print()
    for line in told.method(found):
        print(visible(line))


def _print_some(lines: list[str]) -> None:
    for line in lines[:_SHOWN]:
        print(visible(line))
    if len(lines) > _SHOWN:
        print(f"and {len(lines) - _SHOWN} more; --json lists them all")


def _print_table(rows: list[dict[str, str]]) -> None:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in rows[0]:
        words = name not in ("epoch", "ours", "theirs", "ours - theirs", "difference")
        table.add_column(name, justify="left" if words else "right", no_wrap=not words or name == "verdict")
    for row in rows:
        table.add_row(*row.values())
    console().print(table)


def _beside(folders: list[SweepFolder], metric: str | None, csv: Path | None, *, as_json: bool) -> None:
    from tune_jobs.evidence.pairs import beside
    from tune_jobs.evidence.trials import read_sweep

    found = beside([read_sweep(folder) for folder in folders], metric)
    if csv is not None:
        from tune_jobs.evidence.files import write_csv

        write_csv(found, csv)
    if as_json:
        print_json(found.as_dict())
        return
    _show_pairs(found)
    if csv is not None:
        print(csv)


def _show_pairs(found: "SweepComparison") -> None:
    for pair in found.pairs:
        print(visible(f"{pair.second} compared with {pair.first}: {found.metric}"))
        _show_pair(pair, found.metric)


def _show_pair(pair: "Pair", metric: str) -> None:
    from tune_jobs.evidence import paper_words as told

    if pair.rows:
        _print_table(
            [
                {
                    "configuration": row.label,
                    "epoch": str(row.epoch),
                    visible(pair.first): told.runs_of(row.first, metric),
                    visible(pair.second): told.runs_of(row.second, metric),
                    "difference": f"{'-' if row.difference < 0 else '+'}{told.number(abs(row.difference), metric)}",
                }
                for row in pair.rows
            ]
        )
    common, paired = len(pair.rows), pair.paired
    print(f"{common} in common, {len(pair.only_first)} only in the first, {len(pair.only_second)} only in the second")
    if paired is not None:
        mean = told.change(paired.mean, paired.low, paired.high, metric)
        print(
            f"mean difference: {mean}{told.unit(metric)}, ± half of its 95% interval ({paired.method}, "
            f"n = {paired.n} configurations, means over their seeds; p = {paired.p:.2g})"
        )
    told_only = [
        f"only in {name}: {each.label} ({told.trials(each.trials)})"
        for name, only in ((pair.first, pair.only_first), (pair.second, pair.only_second))
        for each in only
    ]
    told_differs = [
        f"differs: {path}: {' | '.join(', '.join(map(str, side)) or 'none' for side in sides)}"
        for path, sides in pair.differs.items()
    ]
    for lines in (told_only, told_differs):
        _print_some(lines)
    for note in pair.notes:
        print(visible(f"note: {note}"))
    for name, left_out in pair.left_out.items():
        for line in told.without([], left_out):
            print(visible(f"{name}: {line}"))
