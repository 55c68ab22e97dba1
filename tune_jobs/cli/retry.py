"""`convnn retry`."""

from typing import TYPE_CHECKING, Annotated, Any, cast

import typer

from search_spaces.reading.likeness import nearest
from tune_jobs.cli.shared.notifying import Notify
from tune_jobs.cli.shared.options import AcceptCode, AsJson, Set, Storage, Sweep, setting
from tune_jobs.cli.shared.running import AnyAddress, Detach, continued
from tune_jobs.errors import UsageError
from tune_jobs.failures import CLASSES, Failure

if TYPE_CHECKING:
    from tune_jobs.display.live import Progress
    from tune_jobs.driver.run import Outcome


def retry(
    sweep: Sweep,
    overrides: Set = None,
    storage: Storage = None,
    *,
    failed: Annotated[bool, typer.Option("--failed", help="Retry all failed trials.")] = False,
    classes: Annotated[
        list[str] | None,
        typer.Option(
            "--class", metavar="CLASS", help=f"Retry only failures of this class: {', '.join(CLASSES)}. Repeatable."
        ),
    ] = None,
    stopped: Annotated[
        bool, typer.Option("--stopped", help="Retry all trials that you stopped (convnn stop SWEEP TRIAL).")
    ] = False,
    address: AnyAddress = None,
    detach: Detach = False,
    accept_code: AcceptCode = False,
    notify: Notify = None,
    as_json: AsJson = False,
) -> None:
    """Run failed trials again, as new attempts of the same trials. Example: convnn retry quickstart --failed.

    Each resumes from its last checkpoint, if it has one. No other trial is started. Diverged trials are retried only
    with --class diverged, and trials that you stopped only with --stopped. Excluded trials are never retried.
    """
    for name in classes or ():
        if name not in CLASSES:
            raise UsageError(f"--class must be a failure class, got {name!r}; {nearest(name, list(CLASSES))}")
    if not failed and not classes and not stopped:
        raise UsageError(
            "no trials are selected; add --failed for all failed trials, --class CLASS for those of one class, or "
            "--stopped for those that you stopped."
        )
    options = [word for each in classes or () for word in ("--class", each)]
    options += [*(["--failed"] if failed else []), *(["--stopped"] if stopped else [])]
    failures = frozenset(cast("list[Failure]", classes or ())) if classes or not failed else None

    def start(progress: "Progress", **where: Any) -> "Outcome":  # noqa: ANN401 - arguments as they are
        from tune_jobs.driver import restart

        only = restart.Selection(failures, stopped)
        return restart.retry(sweep, only, progress, overrides=tuple(overrides or ()), **where)

    continued(
        "retry",
        sweep,
        [*options, *setting(overrides)],
        start,
        address=address,
        storage=storage,
        accept_code=accept_code,
        notify=notify,
        detach=detach,
        as_json=as_json,
    )
