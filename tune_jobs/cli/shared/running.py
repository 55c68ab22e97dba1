"""Shared by the commands that run a sweep: the progress, the final report and the exit code."""

import os
import sys
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from tune_jobs.cli.shared.notifying import Notifier
from tune_jobs.cli.shared.options import accepting, console, print_json, resuming, storage_of
from tune_jobs.errors import ExitCode
from tune_jobs.record.folder import SweepFolder
from tune_jobs.system.visible import visible

if TYPE_CHECKING:
    from collections.abc import Callable

    from tune_jobs.display.live import Progress
    from tune_jobs.driver.run import Outcome
    from tune_jobs.results.row import Row

Address = Annotated[
    str | None,
    typer.Option(
        metavar="ADDRESS",
        envvar="RAY_ADDRESS",
        help="A Ray cluster to use from here, as in head:6379. Default: a new one on this machine.",
    ),
]
AnyAddress = Annotated[
    str | None,
    typer.Option(
        "--address",
        metavar="ADDRESS",
        envvar=["CONVNN_ADDRESS", "RAY_ADDRESS"],
        help="A cluster's dashboard, as in http://head:8265, to continue the sweep in a job there; or a Ray cluster to "
        "use from here, as in head:6379. Default: a new one on this machine.",
    ),
]
Detach = Annotated[bool, typer.Option("--detach", "-d", help="With a dashboard's address: do not follow the job.")]
Result = TypeVar("Result")
_SHOWN = 10
LINE = 300
"""Characters of a log line that are shown."""


def on_cluster(
    command: str,
    sweep: str,
    address: str | None,
    storage: Path | None,
    options: list[str],
    *,
    detach: bool,
    as_json: bool,
    notify: str | None = None,
) -> bool:
    """Continue a sweep on its cluster if `address` is a cluster's dashboard, and return whether it is."""
    from tune_jobs.cluster.auth import is_cluster

    if address is None or not is_cluster(address):
        return False
    from tune_jobs.cli.shared.remote import finish, given
    from tune_jobs.cluster import submission
    from tune_jobs.cluster.catalog import Cluster

    cluster = Cluster(address, given(storage))
    found = submission.restart(cluster, command, sweep, options, notify=notify)
    finish(cluster.jobs, found, detach=detach, as_json=as_json)
    return True


def continued(
    command: str,
    sweep: str,
    options: list[str],
    start: "Callable[..., Outcome]",
    *,
    address: str | None,
    storage: Path | None,
    accept_code: bool,
    notify: str | None,
    detach: bool,
    as_json: bool,
) -> None:
    """Continue a sweep: in a job if `address` is a cluster's dashboard, else here, and follow it to its end.

    Args:
        command: The name of the command.
        sweep: The sweep's name.
        options: Its own options, as words for the same command on the cluster.
        start: Runs it here; called with the progress, and with `storage`, `ray_address` and `accept_code` by name.
        address: A cluster's dashboard, or a Ray cluster to use from here.
        storage: The folder of sweeps, here or on the cluster.
        accept_code: Whether changed code of a plugin is accepted.
        notify: The notification target.
        detach: Whether to leave a job without following it.
        as_json: Whether to print one JSON object.
    """
    words = [*options, *accepting(accept_code)]
    if on_cluster(command, sweep, address, storage, words, detach=detach, as_json=as_json, notify=notify):
        return
    place = storage_of(storage)
    notifier = Notifier(notify, SweepFolder(place / sweep), resuming("resume", sweep, storage))
    here = partial(start, storage=place, ray_address=address, accept_code=accept_code)
    follow(here, notifier, as_json=as_json, retried=command == "retry")


def follow(start: "Callable[[Progress], Outcome]", notifier: Notifier, *, as_json: bool, retried: bool = False) -> None:
    """Run a sweep, or only its `retried` trials; show the progress, print a report, and exit with its exit code."""
    from tune_jobs.results.summary import state_of

    outcome = watched(start, notifier, as_json=as_json)
    code, found = exit_code(outcome), outcome.summary
    others_left = retried and state_of(found, running=False) == "unfinished"
    notifier.ended(outcome.halt, all_failed=code == ExitCode.FAILED, others_left=others_left, found=found)
    with closing(notifier):
        _print_outcome(outcome, notifier.again, as_json=as_json)
    raise typer.Exit(code)


def _print_outcome(outcome: "Outcome", again: str, *, as_json: bool) -> None:
    """Print the results of a run, and how to resume it."""
    if as_json:
        print_json(outcome.as_dict())
    else:
        _report(outcome)
    if outcome.note is not None:
        print(f"\n{outcome.note}", file=sys.stderr)
    halt = outcome.halt
    if halt is not None and halt.signal is not None:
        print(f"\nInterrupted; nothing is lost. Resume with:\n  {again}", file=sys.stderr)
    elif halt is not None:
        stopped = "" if halt.cause == "enough" else "The sweep has stopped: "
        print(f"\n{stopped}{halt.message}", file=sys.stderr)


def watched(start: "Callable[[Progress], Result]", notifier: Notifier, *, as_json: bool) -> "Result":
    """Run a long command, show its progress, and return its result; `notifier` reports an error."""
    from tune_jobs.display.live import LiveTable, LogLines, Steady
    from tune_jobs.system.signals import Interrupted

    out = console(stderr=as_json)
    try:
        with Steady(LiveTable(out) if out.is_terminal else LogLines(out)) as progress:
            return start(progress)
    except Interrupted as interrupted:
        notifier.interrupted()
        print(f"\nInterrupted; nothing is lost. Resume with:\n  {notifier.again}", file=sys.stderr, flush=True)
        notifier.close()
        sys.stdout.flush()
        # Ray may be half started; its shutdown then crashes or takes seconds. Its processes end with this one.
        os._exit(128 + interrupted.number)
    except Exception as error:
        notifier.failed(error)
        notifier.close()
        raise


def exit_code(outcome: "Outcome") -> int:
    """Return the exit code, as the program's help defines it."""
    if outcome.halt is not None and outcome.halt.exit_code:
        return outcome.halt.exit_code
    failed, there = outcome.summary.count("failed"), len(outcome.summary.shown)
    return ExitCode.DONE if not failed else ExitCode.FAILED if failed == there else ExitCode.SOME_FAILED


def _report(outcome: "Outcome") -> None:
    """Print the leaderboard, the best trial, the failures and the next commands."""
    from tune_jobs.display.tables import over_seeds, print_leaderboard, standing
    from tune_jobs.results.columns import in_a_line

    summary, out = outcome.summary, console()
    print()
    print_leaderboard(out, summary, 2 * _SHOWN)
    print(f"\n{standing(summary)}")
    if outcome.exhausted:
        print("Every configuration of the space has been tried.")
    if (table := over_seeds(summary)) is not None:
        print("\nConfigurations with several seeds (complete trials):")
        out.print(table)
    if (best := summary.best) is not None:
        head = "Best" if summary.compared_at is None else f"Best at epoch {summary.compared_at} (no trial is complete)"
        config = in_a_line(best.config, summary.columns)
        print(f"\n{head}: trial {best.number}, {summary.metric} {summary.best_said}")
        if config:
            print(f"  {config}")
    _tell_failures(outcome, [row for row in summary.shown if row.state == "failed"])
    _tell_next(outcome)


def _tell_failures(outcome: "Outcome", failed: "list[Row]") -> None:
    """Print each failure class once, with its latest reason and the last line of that log, and the retry command."""
    name = outcome.folder.name
    by_class: dict[str, list[Row]] = {}
    for row in sorted(failed, key=lambda row: row.number):
        by_class.setdefault(row.failure or "error", []).append(row)
    for failure, rows in by_class.items():
        last, log = rows[-1], outcome.folder.log_of(rows[-1].run_key)
        numbers = ", ".join(str(row.number) for row in rows[:_SHOWN]) + _more(len(rows), name)
        noun = "1 trial" if len(rows) == 1 else f"{len(rows)} trials"
        print(f"\n{noun} failed ({failure}): {numbers}\n  {last.reason}")
        line = _last_line(log)
        if line and not (last.reason or "").startswith(line.removeprefix(f"{failure}: ")):
            print(f"  last line of its log: {visible(line)}")
        print(f"  log: {log}")
    if failed:
        print(f"After fixing the cause, retry them:\n  convnn retry {name} --failed")


def _more(count: int, name: str) -> str:
    return f", and {count - _SHOWN} more: convnn show {name}" if count > _SHOWN else ""


def _last_line(log: Path) -> str:
    """Return the last line of a file that is not empty, at most LINE long; `""` if the file cannot be read."""
    try:
        with log.open("rb") as file:
            file.seek(0, os.SEEK_END)
            file.seek(max(0, file.tell() - 4 * LINE))
            lines = file.read().decode(errors="replace").splitlines()
    except OSError:
        return ""
    return next((line.strip()[:LINE] for line in reversed(lines) if line.strip()), "")


def _tell_next(outcome: "Outcome") -> None:
    name, tracked = outcome.folder.name, outcome.tracked
    if tracked.error is not None:
        print(
            f"\n{tracked.error.rstrip('.')}.\n"
            f"The sweep's folder has all results. To sync the rest:\n  convnn sync {name}"
        )
    print(f"\nNext:\n  convnn show {name}")
    if outcome.summary.best is not None:
        print(f"  convnn best {name} --yaml > best.yaml")
    if tracked.uri.startswith("sqlite:"):
        print(f"Compare its trials in MLflow:\n  convnn ui {name}")
    else:
        page = tracked.page or f"{tracked.uri}, experiment {tracked.experiment!r}"
        print(f"Compare its trials in MLflow:\n  {page}")
