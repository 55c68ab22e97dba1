"""`convnn show`."""

import time
from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

from search_spaces.plurals import plural
from tune_jobs.cli.shared.options import TRIAL_HELP, AsJson, AsYaml, Columns, Storage, Sweep, console, print_json
from tune_jobs.cli.shared.remote import At, placed_sweep_at
from tune_jobs.display.tables import numbers, over_seeds, print_leaderboard, standing
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.rows import CONFIRM
from tune_jobs.results.columns import chosen
from tune_jobs.results.history import TrialHistory, history
from tune_jobs.results.overview import seeds_json
from tune_jobs.results.summary import read_summary, state_of
from tune_jobs.results.words import duration, shown

if TYPE_CHECKING:
    from tune_jobs.evidence.printed import ConfirmedRun


def show(
    sweep: Sweep,
    trial: Annotated[str | None, typer.Argument(metavar="[TRIAL]", help=TRIAL_HELP)] = None,
    storage: Storage = None,
    *,
    address: At = None,
    columns: Columns = None,
    as_yaml: AsYaml = False,
    as_json: AsJson = False,
) -> None:
    """Show a sweep's leaderboard, or one trial epoch by epoch. Example: convnn show quickstart 3."""
    if as_yaml and trial is None:
        raise UsageError(
            "--yaml prints the configuration of one trial; add its number, as in: convnn show SWEEP 3 --yaml"
        )
    with placed_sweep_at(sweep, storage, address) as (folder, place, running):
        if trial is not None:
            _show_trial(history(folder, trial), place, as_yaml=as_yaml, as_json=as_json)
        else:
            _show_sweep(folder, place, columns, running=running, as_json=as_json)


def _show_sweep(folder: SweepFolder, place: str, columns: str | None, *, running: bool, as_json: bool) -> None:
    summary = read_summary(folder)
    picked = None if columns is None else chosen(columns, [row.config for row in summary.rows])
    state = state_of(summary, running=running)
    if as_json:
        seeds = [seeds_json(group) for group in summary.seeds]
        print_json({**summary.as_dict(picked), "state": state, "seeds": seeds, "folder": place})
        return
    out = console()
    print(f"{standing(summary, state)}\n{place}\n")
    if summary.halted and state != "running":
        print(f"{summary.halted.sentence}\n")
    print_leaderboard(out, summary, columns=picked)
    if (table := over_seeds(summary)) is not None:
        print("\nConfigurations with several seeds (complete trials):")
        out.print(table)


def _show_trial(found: TrialHistory, place: str, *, as_yaml: bool, as_json: bool) -> None:
    run = _run_of(found)
    if as_json:
        print_json({**found.as_dict(), **({} if run is None else {"confirmation": run})})
        return
    if as_yaml:
        print(found.sweep_file(), end="")
        return
    _print_which(found, run)
    for attempt in found.attempts:
        why = f" ({', '.join(filter(None, (attempt.failure, attempt.reason)))})" if attempt.reason else ""
        after = f" from epoch {attempt.from_epoch}" if attempt.from_epoch else ""
        threads = plural(attempt.environment.threads, "thread") if attempt.environment else None
        where = f" on {', '.join(filter(None, (attempt.host, attempt.device, threads)))}" if attempt.host else ""
        print(f"  attempt {attempt.attempt}{where}{after}: {attempt.state}{why}, {duration(attempt.seconds)}")
        folder = found.folder.attempt(attempt.run_key, attempt.attempt)
        print(f"    {place}/{folder.relative_to(found.folder.path)}")
        if attempt.note:
            print(f"    {attempt.note}")
    for path in found.folder.checkpoints(found.row.run_key):
        print(f"  checkpoint: {path}")
    names = [name for name in found.row.metrics if "/" in name] + ["epoch_s"]
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("epoch", *names):
        table.add_column(name, justify="right")
    for epoch in found.epochs:
        table.add_row(str(epoch.epoch), *(shown(epoch.metrics.get(name), name) for name in names))
    console().print(table)
    print(f"\n{found.sweep_file()}", end="")


def _print_which(found: TrialHistory, run: "ConfirmedRun | None") -> None:
    """Print which trial it is, its state, and the other seeds of its configuration."""
    reason = f" ({found.row.reason})" if found.row.reason else ""
    print(f"trial {found.row.number}, {found.row.run_key}: {found.row.state}{reason}")
    if run is not None:
        arm = "the configuration of a file" if run["of"] is None else f"trial {run['of']}"
        print(
            f"run {run['run']} of {'the baseline, ' if run['baseline'] else ''}{arm}, in the confirmation of "
            f"{run['opened']}: seed {run['seed']}, for look {run['look']} (at {run['runs']} runs of each)"
        )
    if found.seeds is not None:
        first, others = found.seeds.first, [row for row in found.seeds.rows if row.number != found.row.number]
        of = f"another seed ({found.row.config.training.seed}) of trial {first.number}; " if found.row.repeat_of else ""
        with_it = f" (with {'trial' if len(others) == 1 else 'trials'} {numbers(others)})" if others else ""
        print(f"{of}its configuration{with_it}: {found.seeds.said(found.metric)}")
    if found.row.excluded is not None:
        print(f"excluded{_on(found.row.excluded_at)}: {found.row.excluded}")


def _run_of(found: TrialHistory) -> "ConfirmedRun | None":
    if found.role != CONFIRM:
        return None
    from tune_jobs.evidence.confirm import run_of

    return run_of(found.folder, found.row.run_key)


def _on(at: float | None) -> str:
    return "" if at is None else time.strftime(" on %Y-%m-%d at %H:%M UTC", time.gmtime(at))
