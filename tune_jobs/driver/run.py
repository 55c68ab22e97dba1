"""Runs a sweep: takes the remaining trials from the ledger, runs them on an executor, sends results to a tracker."""

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
from tune_jobs.driver.opening import as_far_as_started, open_ledger, prepare_folder
from tune_jobs.driver.stop import forget_requests
from tune_jobs.driver.trials import Sweep, Work, run_trials
from tune_jobs.executors.registry import RAY_TUNE, executor_named
from tune_jobs.record.folder import SweepFolder, storage_folder
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Halted
from tune_jobs.results.columns import fields, possible
from tune_jobs.results.opening import SweepResults
from tune_jobs.results.summary import summary
from tune_jobs.system.signals import handled_signals
from tune_jobs.tracking.address import require_address
from tune_jobs.tracking.base import Tracked


@dataclass(frozen=True, repr=False)
class Outcome(SweepResults):
    """How a run of a sweep ended, and its results."""

    exhausted: bool
    """Whether every configuration of the space has been tried."""

    halt: Halt | None
    """Why it stopped early, if it did."""

    tracked: Tracked
    note: str | None = None
    """Why no new trial was started, if the file asks for fewer trials than have run."""

    def as_dict(self) -> dict[str, Any]:
        """Return the outcome for programs, with stable keys."""
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
    """Run a sweep to its end, or resume it where an earlier run stopped.

    Args:
        spec: The sweep.
        progress: Receives the events; `True` prints a line per event to standard error, `False` prints nothing.
        storage: The folder of all sweeps; `default_storage()` if `None`.
        ray_address: The Ray cluster; `RAY_ADDRESS` if `None`, and a local Ray cluster if that is not set.
        reopen: Marks ended trials as pending again; only the trials that it returns are run.
        executor: Name of the executor; see `tune_jobs.executors.registry`.
        exact_trials: Refuse `search.trials` below the number of trials that have run. Otherwise no new trial is started
            in that case.
        accept_code: Continue although the code of a plugin has changed since earlier trials.

    Raises:
        LedgerError: If the folder cannot be used or is in use.
        UsageError: If the folder holds a sweep with other settings, `reopen` finds nothing, `exact_trials` is set and
            there are too few, the code of a plugin has changed, or the tracker's address is not valid.
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
    """Run or resume work other than the search in a sweep's folder, such as a confirmation; see `run`.

    Args:
        folder: The sweep's folder.
        spec: The sweep as recorded.
        judged: The same sweep, with the evaluation and metric of this work.
        work_of: Returns the work; it is called once this process holds the ledger.
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
    """Hold a sweep's folder and ledger for this process; yield the sweep, and a note on its trials if needed."""
    require_address(spec.tracking.uri)  # before any file is created or written
    prepare_folder(folder)
    with lease(folder.path), handled_signals() as signals:
        forget_requests(folder)  # those of an earlier run
        spec, note = as_far_as_started(folder, spec, exact=exact_trials)
        ledger = open_ledger(folder, spec, accept_code=accept_code)
        try:
            yield Sweep(spec, folder, ledger, progress, signals), note
        finally:
            ledger.close()


def _observer(progress: Progress | bool) -> AbstractContextManager[Progress]:
    """Return the given observer, or one that prints lines to standard error or nothing."""
    if not isinstance(progress, bool):
        return nullcontext(progress)
    return Steady(LogLines(TextConsole(file=sys.stderr, quiet=not progress, force_jupyter=False)))


def _run(sweep: Sweep, trials: Callable[..., tuple[bool, Halt | None]], *, is_search: bool = True) -> Outcome:
    """Run the remaining trials of a sweep that this process holds, and send the results to the tracker."""
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
        found = replace(found, beside=[*map(fields, configs)])
    return Outcome(folder, found, exhausted, halt, tracked)
