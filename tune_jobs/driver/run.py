"""Runs a sweep: what the ledger says is left, handed to an executor, and shipped to a tracker."""

import os
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from search_spaces import SweepSpec
from tune_jobs.display.console import TextConsole
from tune_jobs.display.live import LogLines, Progress, Steady
from tune_jobs.driver.handover import Handover
from tune_jobs.driver.images import open_images
from tune_jobs.driver.limits import Halt
from tune_jobs.driver.opening import as_far_as_begun, open_ledger, prepare_folder
from tune_jobs.driver.stop import forget_requests
from tune_jobs.driver.trials import Sweep, Work, run_trials
from tune_jobs.executors.registry import RAY_TUNE, executor_named
from tune_jobs.record.folder import SweepFolder, storage_folder
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Halted
from tune_jobs.results.columns import possible
from tune_jobs.results.opening import SweepResults
from tune_jobs.results.summary import summary
from tune_jobs.system.signals import handled_signals
from tune_jobs.tracking.address import require_address
from tune_jobs.tracking.base import Tracked


@dataclass(frozen=True, repr=False)
class Outcome(SweepResults):
    """How a run of a sweep ended, and what it found."""

    exhausted: bool
    """Whether every configuration of the space has been tried."""

    halt: Halt | None
    """What ended it early, if something did."""

    tracked: Tracked
    note: str | None = None
    """Why no new trial was started, where the file asks for fewer than have run."""

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        found, halt = self.summary, self.halt
        return {
            **found.as_dict(),
            "folder": str(self.folder.path),
            "exhausted": self.exhausted,
            "interrupted": halt.signal if halt else None,
            "note": self.note,
            "tracker": asdict(self.tracked),
        }


def run(
    spec: SweepSpec,
    progress: Progress | bool = True,
    *,
    storage: str | Path | None = None,
    ray_address: str | None = None,
    reopen: Callable[[Ledger], frozenset[str]] | None = None,
    executor: str = RAY_TUNE,
    exact_trials: bool = False,
    accept_code: bool = False,
) -> Outcome:
    """Run a sweep to its end, or go on with it where an earlier run stopped.

    Args:
        spec: What to run.
        progress: Is told what happens; `True` prints a line per event to standard error, `False` nothing.
        storage: Where sweeps live; `default_storage()` if `None`.
        ray_address: A Ray cluster; `RAY_ADDRESS` if `None`, and a local Ray if that is not set.
        reopen: Makes ended trials due again; only those that it names are run.
        executor: What runs the trials; see `tune_jobs.executors.registry`.
        exact_trials: Refuse `search.trials` below what has run; else nothing more is started then.
        accept_code: Go on although the code of a plugin is not what the trials were run with.

    Raises:
        LedgerError: If the folder cannot be used, is in use, or holds another sweep of this name.
        UsageError: If the sweep in the folder is another one, `reopen` finds nothing, `exact_trials` are too few,
            the code of a plugin has changed, or the tracker's address is misspelt.
        DataError: If the images cannot be read.
        ClusterError: If Ray cannot be started or reached.
        Interrupted: If a signal arrives before the first trial, or a second one at any time.
    """
    folder = SweepFolder(storage_folder(storage) / spec.name)
    address = ray_address or os.environ.get("RAY_ADDRESS")
    given = partial(opened, folder, spec, exact_trials=exact_trials, accept_code=accept_code)
    with _observer(progress) as told, given(told) as (sweep, note):
        begun = partial(run_trials, open_executor=executor_named(executor), address=address, reopen=reopen)
        ended = _run(sweep, begun)
    return ended if reopen is not None else replace(ended, note=note)


def run_work(
    folder: SweepFolder,
    spec: SweepSpec,
    judged: SweepSpec,
    work_of: Callable[[Sweep], Work],
    progress: Progress | bool = True,
    *,
    ray_address: str | None = None,
    executor: str = RAY_TUNE,
    accept_code: bool = False,
) -> Outcome:
    """Run something else than a sweep's search in its folder, or go on with that; see `run`.

    Args:
        folder: The sweep's.
        spec: The sweep as it is recorded.
        judged: The same, as these runs are evaluated and judged.
        work_of: What to do, once the record is this process's own.
        progress: See `run`.
        ray_address: See `run`.
        executor: See `run`.
        accept_code: See `run`.
    """
    address = ray_address or os.environ.get("RAY_ADDRESS")
    with _observer(progress) as told, opened(folder, spec, told, accept_code=accept_code) as (sweep, _):
        own = replace(sweep, spec=judged)
        begun = partial(run_trials, open_executor=executor_named(executor), address=address, work=work_of(own))
        return _run(own, begun, is_search=False)


@contextmanager
def opened(
    folder: SweepFolder,
    spec: SweepSpec,
    progress: Progress,
    *,
    exact_trials: bool = False,
    accept_code: bool = False,
) -> Iterator[tuple[Sweep, str | None]]:
    """A sweep whose folder and ledger are this process's own, and what is to be said of its trials."""
    require_address(spec.tracking.uri)  # before anything is made or recorded
    prepare_folder(folder)
    with lease(folder.path), handled_signals() as signals:
        forget_requests(folder)  # of an earlier run
        spec, note = as_far_as_begun(folder, spec, exact=exact_trials)
        ledger = open_ledger(folder, spec, accept_code=accept_code)
        try:
            yield Sweep(spec, folder, ledger, progress, signals), note
        finally:
            ledger.close()


def _observer(progress: Progress | bool) -> AbstractContextManager[Progress]:
    """Who is told: whoever is given, else lines on standard error or nowhere."""
    if not isinstance(progress, bool):
        return nullcontext(progress)
    return Steady(LogLines(TextConsole(file=sys.stderr, quiet=not progress, force_jupyter=False)))


def _run(sweep: Sweep, trials: Callable[..., tuple[bool, Halt | None]], *, is_search: bool = True) -> Outcome:
    """Run what is left of a sweep whose ledger is open and this process's own, and give the tracker what it holds."""
    spec, folder, ledger, progress = sweep.spec, sweep.folder, sweep.ledger, sweep.progress
    progress.say(f"sweep {spec.name} in {folder.path}")
    ledger.interrupt_running()
    configs = possible(spec)
    handover = Handover(sweep, open_images(spec, ledger, progress.say), configs)
    try:
        exhausted, halt = trials(sweep, beside=handover)
        if is_search:
            ledger.meta.halted = None if halt is None else Halted(halt.cause, halt.message)
    except BaseException as error:
        handover.abandon(error)
        raise
    tracked = handover.end(halt)
    found = summary(spec.name, ledger)
    if not found.whole:
        found = replace(found, beside=configs)
    return Outcome(folder, found, exhausted, halt, tracked)
