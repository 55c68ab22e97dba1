"""Runs a sweep: what the ledger says is left, handed to an executor, and shipped to a tracker."""

import os
import sys
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from search_spaces import SweepSpec
from tune_jobs.display.console import TextConsole
from tune_jobs.display.live import LogLines, Progress, Steady
from tune_jobs.driver.images import open_images
from tune_jobs.driver.limits import Halt
from tune_jobs.driver.opening import as_far_as_begun, open_ledger, prepare_folder
from tune_jobs.driver.stop import forget_requests
from tune_jobs.driver.trials import Sweep, run_trials
from tune_jobs.errors import LedgerError
from tune_jobs.executors.registry import RAY_TUNE, executor_named
from tune_jobs.record.folder import SweepFolder, storage_folder
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.manifest import manifest_tags, write_manifest
from tune_jobs.record.rows import Halted
from tune_jobs.report import draw_at_end
from tune_jobs.results.columns import axes, possible, varying
from tune_jobs.results.opening import SweepResults
from tune_jobs.results.summary import summary
from tune_jobs.system.files import make_private
from tune_jobs.system.redaction import holds_secret
from tune_jobs.system.signals import Interrupted, handled_signals
from tune_jobs.tracking.base import Destination, Tracked, Tracker
from tune_jobs.tracking.place import place_of
from tune_jobs.tracking.registry import open_tracker

SHIP_LAST_S = 40.0
"""How long the end of a sweep waits for a tracker that does not answer."""

SHIP_LAST_INTERRUPTED_S = 10.0
"""The same, where a person has stopped it."""


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

    Raises:
        LedgerError: If the folder cannot be used, is in use, or holds another sweep of this name.
        UsageError: If the sweep in the folder is another one, `reopen` finds nothing, or `exact_trials` are too few.
        DataError: If the images cannot be read.
        ClusterError: If Ray cannot be started or reached.
        Interrupted: If a signal arrives before the first trial, or a second one at any time.
    """
    folder = SweepFolder(storage_folder(storage) / spec.name)
    address = ray_address or os.environ.get("RAY_ADDRESS")
    with _observer(progress) as told:
        prepare_folder(folder)
        with lease(folder.path), handled_signals() as signals:
            forget_requests(folder)  # of an earlier run
            spec, note = as_far_as_begun(folder, spec, exact=exact_trials)
            ledger = open_ledger(folder, spec)
            try:
                begun = partial(run_trials, open_executor=executor_named(executor), address=address, reopen=reopen)
                ended = _run(Sweep(spec, folder, ledger, told, signals), begun)
            finally:
                ledger.close()
    return ended if reopen is not None else replace(ended, note=note)


def _observer(progress: Progress | bool) -> AbstractContextManager[Progress]:
    """Who is told: whoever is given, else lines on standard error or nowhere."""
    if not isinstance(progress, bool):
        return nullcontext(progress)
    return Steady(LogLines(TextConsole(file=sys.stderr, quiet=not progress, force_jupyter=False)))


def _run(sweep: Sweep, trials: Callable[[Sweep], tuple[bool, Halt | None]]) -> Outcome:
    """Run what is left of a sweep whose ledger is open and this process's own, and give the tracker what it holds."""
    spec, folder, ledger, progress = sweep.spec, sweep.folder, sweep.ledger, sweep.progress
    progress.say(f"sweep {spec.name} in {folder.path}")
    ledger.interrupt_running()
    digests = open_images(spec, ledger, progress.say)
    manifest = write_manifest(folder, digests)
    place, draw = place_of(spec.tracking, folder, ledger), partial(draw_at_end, folder, 0)
    if holds_secret(place.uri):  # the ledger has it, so that the sweep stays where it is
        make_private(folder.ledger)
    tags, configs = manifest_tags(manifest), possible(spec)
    columns = axes(configs, varying(configs))
    tracker = open_tracker(Destination(folder, place.uri, place.experiment, tags, draw, columns))
    tracker.start()
    ledger.meta.halted = None
    try:
        exhausted, halt = trials(sweep)
        if halt is not None:
            ledger.meta.halted = Halted(halt.cause, halt.message)
    except BaseException as error:  # nothing writes to the ledger once the lease is given up
        tracker.close(0 if sweep.signals.twice or isinstance(error, LedgerError) else SHIP_LAST_INTERRUPTED_S)
        raise
    _draw(sweep, tracker, halt)
    missing = _ship_the_rest(tracker, progress, halt)
    tracked = tracker.tracked(ledger, missing)
    found = summary(spec.name, ledger)
    if not found.whole:
        found = replace(found, beside=configs)
    return Outcome(folder, found, exhausted, halt, tracked)


def _draw(sweep: Sweep, tracker: Tracker, halt: Halt | None) -> None:
    """Leave a report in the sweep's folder."""
    hurry = halt is not None and halt.signal is not None
    try:
        draw_at_end(sweep.folder, 0 if hurry else sweep.ledger.usage().wall_hours, sweep.progress.say)
    except Interrupted as signal:
        if signal.at_once:
            tracker.close(0)
            raise


def _ship_the_rest(tracker: Tracker, progress: Progress, halt: Halt | None) -> str | None:
    """Wait for the tracker, unless a person is in a hurry; the reason if it does not have everything."""
    progress.say(f"handing the last numbers to {tracker.name} ...")
    try:
        return tracker.close(
            SHIP_LAST_S if halt is None or halt.signal is None else SHIP_LAST_INTERRUPTED_S,
            progress.say,
        )
    except Interrupted as signal:
        if signal.at_once:
            raise
        return "the wait was interrupted"
