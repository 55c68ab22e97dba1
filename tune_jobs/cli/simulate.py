"""`convnn simulate`."""

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer
from rich.table import Table

from search_spaces import load_sweep
from search_spaces.plurals import plural
from tune_jobs.cli.shared.options import AsJson, Set, Storage, console, print_json, storage_of
from tune_jobs.errors import UsageError
from tune_jobs.system.cpus import usable_cpus
from tune_jobs.system.visible import visible

if TYPE_CHECKING:
    from tune_jobs.results.recorded.table import RecordedTable
    from tune_jobs.simulate.outcome import Result, Simulation

_SHOWN = 5


Played = Annotated[
    str | None,
    typer.Argument(
        metavar="FILE", help="A sweep's YAML file, or a preset's name. Default: all recorded runs are the space."
    ),
]
From = Annotated[
    list[str] | None,
    typer.Option("--from", metavar="SWEEP", help="Use the trials of this finished sweep. Repeatable."),
]
Files = Annotated[
    tuple[Path, Path] | None,
    typer.Option("--table", metavar="RUNS CURVES", help="Use two Parquet files; see docs/how-to/simulate.md."),
]
Where = Annotated[
    list[str] | None, typer.Option(metavar="PARAMETER=VALUE", help="Use only runs with this value. Repeatable.")
]
Rules = Annotated[
    str | None,
    typer.Option(
        metavar="RULES",
        show_default="that of FILE, none, asha and best",
        help="Stopping rules, as in none,asha:10/3,best:10/4: a kind with its settings, `file` for the rule in FILE, "
        "best:I/K to train all trials for I epochs and finish the best K.",
    ),
]
Workers = Annotated[
    int | None, typer.Option(min=1, show_default="resources.max_concurrent, else 4", help="Trials at a time.")
]
Epochs = Annotated[
    int | None, typer.Option(min=1, show_default="the most common number", help="Epochs of a trial; only without FILE.")
]
Objective = Annotated[
    str | None, typer.Option(show_default="val/accuracy, if recorded", help="The objective; only without FILE.")
]


def simulate(
    file: Played = None,
    overrides: Set = None,
    *,
    sweeps: From = None,
    files: Files = None,
    where: Where = None,
    rules: Rules = None,
    budgets: Annotated[str, typer.Option(help="Budgets of a search, in full trials.")] = "8,16,32",
    repeats: Annotated[int, typer.Option(min=1, help="Searches per rule, each with another order or seed.")] = 20,
    workers: Workers = None,
    cost: Annotated[
        Literal["epochs", "seconds"], typer.Option(help="The cost of an epoch: 1, or its recorded seconds.")
    ] = "epochs",
    epochs: Epochs = None,
    metric: Objective = None,
    output: Annotated[Path | None, typer.Option(help="Write a plot of regret over budget to this HTML file.")] = None,
    storage: Storage = None,
    as_json: AsJson = False,
) -> None:
    """Simulate sweeps on recorded curves to compare stopping rules at equal cost, in seconds and without a GPU.

    Example: convnn simulate figure5-cifar10 --rules none,asha:10/3. Uses the published runs if you give no others.
    """
    if file is None and overrides:
        raise UsageError("--set changes a sweep file, and none is given; add FILE.")
    if file is not None and (epochs or metric):
        raise UsageError(
            "--epochs and --metric cannot be combined with FILE, which has both; use --set space.training.epochs=... "
            "or objective.metric=..."
        )
    if sweeps and files:
        raise UsageError("--from and --table both give the recorded runs; leave one out.")
    spec = None if file is None else load_sweep(file, overrides or ())
    from tune_jobs.simulate.simulation import Setting, budgets_of
    from tune_jobs.simulate.simulation import simulate as play

    setting = Setting(repeats, budgets_of(budgets), rules, workers, cost, metric, epochs)
    recorded = _table(sweeps, files, storage).where(where or ())
    found = play(recorded, spec, setting, lambda text: print(text, file=sys.stderr, flush=True), usable_cpus().count)
    if output is not None:
        from tune_jobs.simulate.figure import write_figure

        write_figure(found, output)
    if as_json:
        print_json(found.as_dict())
        return
    _show(found)
    if output is not None:
        print(output)


def _table(sweeps: list[str] | None, files: tuple[Path, Path] | None, storage: Path | None) -> "RecordedTable":
    if files is not None:
        from tune_jobs.results.recorded.files import of_files

        return of_files(*files)
    if sweeps:
        from tune_jobs.record.folder import find_sweep
        from tune_jobs.results.recorded.sweeps import of_sweeps

        return of_sweeps([find_sweep(name, storage_of(storage)) for name in sweeps])
    from tune_jobs.results.recorded.published import published

    return published()


def _show(found: "Simulation") -> None:
    from tune_jobs.results.words import shown

    table = found.table
    print(visible(f"{table.name}: {plural(len(table.runs), 'run')} ({table.about})"))
    for reason, count in table.dropped.items():
        print(visible(f"  left out, {reason}: {count:,}"))
    if (space := found.coverage) is not None:
        print(f"space: {space.with_run:,} of {plural(space.looked_at, 'configuration')} have a recorded run")
        for reason, count in list(space.without.items())[:_SHOWN]:
            print(visible(f"  {count:,} have none: {reason}"))
        if len(space.without) > _SHOWN:
            print(f"  and {plural(len(space.without) - _SHOWN, 'more reason')}; --json lists them all")
    for note in found.notes:
        print(visible(f"note: {note}"))
    at_a_time = plural(found.workers, "trial")
    print(
        f"{plural(found.epochs, 'epoch')} per trial, {at_a_time} at a time, {plural(found.repeats, 'repeat')}; "
        f"unit of budgets: the {found.cost} of a full trial"
    )
    print(visible(f"best {found.metric}: {shown(found.best, found.metric)}"))
    console().print(_results(found))
    print(
        f"regret in {found.unit}: how much better the best run is than the run found; in brackets: the 95% interval of "
        f"the mean"
    )


def _results(found: "Simulation") -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    table.add_column("rule", no_wrap=True)
    budgets = sorted({result.budget for result in found.results})
    for budget in budgets:
        table.add_column(f"regret at {budget:g}", justify="right", no_wrap=True)
    table.add_column("trials", justify="right")
    table.add_column("complete", justify="right")
    rows: dict[str, list[Result]] = {}
    for result in found.results:
        rows.setdefault(result.rule, []).append(result)
    for rule, results in rows.items():
        last = results[-1]
        cells = (_cell(result) for result in results)
        table.add_row(rule, *cells, f"{last.started:.0f}", f"{last.complete:.0f}")
    return table


def _cell(result: "Result") -> str:
    regret = result.regret
    between = "" if regret.low is None else f" ({regret.low:.2f} to {regret.high:.2f})"
    spent = "" if result.cost.mean > 0.99 * result.budget else f" for {result.cost.mean:.1f}"
    return f"{regret.mean:.2f}{between}{spent}"
