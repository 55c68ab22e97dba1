"""The output of a run besides the ledger: its start in the manifest, its metrics in the tracker, and its report.

A run that trained nothing, on a sweep that has not changed since the last run, skips all of this: loading MLflow alone
takes two seconds.
"""

import hashlib
import threading
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search_spaces import TrialConfig
from tune_jobs.driver.limits import Halt
from tune_jobs.driver.trials import Beside, Sweep
from tune_jobs.errors import LedgerError
from tune_jobs.events import Event, Loading, Started
from tune_jobs.record.manifest import manifest_tags, recorded_starts, write_manifest
from tune_jobs.report import draw_at_end
from tune_jobs.results.columns import axes, varying
from tune_jobs.system.files import make_private
from tune_jobs.system.packages import DISTRIBUTION
from tune_jobs.system.redaction import holds_secret
from tune_jobs.system.signals import Interrupted
from tune_jobs.tracking.address import sqlite_file
from tune_jobs.tracking.base import Destination, Tracked, Tracker, missing_results
from tune_jobs.tracking.mlflow.reading import state_of_runs
from tune_jobs.tracking.place import place_of, tracked_as
from tune_jobs.tracking.registry import open_tracker

FOLLOW_AFTER_S = 1.0
"""How long the first trial trains before the driver loads the tracker."""

SHIP_LAST_S = 40.0
"""How long the driver waits at the end of a sweep for a tracker that does not answer."""

SHIP_LAST_INTERRUPTED_S = 10.0
"""The same, if the user has stopped the sweep."""


class Handover(Beside):
    """Writes the manifest, tracker and report of one run of a sweep, whose ledger is open."""

    def __init__(self, sweep: Sweep, digests: dict[str, str], configs: list[TrialConfig]) -> None:
        """Find the tracker's address; nothing is written yet.

        Args:
            sweep: The sweep that is run.
            digests: Digests of the images, for the manifest.
            configs: The possible configurations of trials, for the tracker's columns.
        """
        self._sweep = sweep
        self._digests = digests
        self._configs = configs
        self._tracker: Tracker | None = None
        self._start: threading.Timer | None = None
        self._follows = False
        self._place = place_of(sweep.spec.tracking, sweep.folder, sweep.ledger)
        if holds_secret(self._place.uri):  # the ledger stores the address, so that the sweep keeps its tracker
            make_private(sweep.folder.ledger)

    def begin(self) -> None:
        """Record this start, as there is something to train."""
        self._tracker = self._open(write_manifest(self._sweep.folder, self._digests, self._sweep.ledger.meta.plugins))

    def take(self, event: Event) -> None:
        """Start the tracker after a trial has trained a little: loading MLflow would delay its first steps."""
        if self._start is None and not isinstance(event, Started | Loading):
            self._start = threading.Timer(FOLLOW_AFTER_S, self._follow)
            self._start.daemon = True
            self._start.start()

    def abandon(self, error: BaseException) -> None:
        """Close the tracker after an error: nothing may write to the ledger once the lease is released."""
        self._settle()
        if self._tracker is not None and self._follows:
            at_once = self._sweep.signals.twice or isinstance(error, LedgerError)
            self._tracker.close(0 if at_once else SHIP_LAST_INTERRUPTED_S)

    def end(self, halt: Halt | None) -> Tracked:
        """Draw the report and sync the tracker, unless both are up to date. Return where the sweep is tracked."""
        starts = recorded_starts(self._sweep.folder)
        begun, ledger = self._tracker is not None, self._sweep.ledger
        self._settle()
        tracker = self._tracker = self._tracker or self._open(starts[-1] if starts else {})
        noted = None if begun else ledger.meta.left
        if noted is None or noted["sweep"] != self._state():
            self._draw(tracker, halt)
            noted = None
        missing = None
        if noted is None or noted["tracker"] is None or noted["tracker"] != self._tracked():
            missing = self._ship(tracker, halt)
            there = self._tracked() if missing is None else None
            ledger.meta.left = {"sweep": self._state(after=1), "tracker": there}
        return tracker.tracked(ledger, missing)

    def _follow(self) -> None:
        assert self._tracker is not None
        self._follows = True
        self._tracker.start()

    def _settle(self) -> None:
        """Wait until the tracker has started, or make sure that it will not start."""
        if self._start is not None:
            self._start.cancel()
            self._start.join()

    def _open(self, start: dict[str, Any]) -> Tracker:
        sweep = self._sweep
        tags = manifest_tags(start) if start else {}
        draw = partial(draw_at_end, sweep.folder, 0)
        columns = axes(self._configs, varying(self._configs))
        files, place = sweep.spec.tracking.tensorboard, self._place
        return open_tracker(
            Destination(sweep.folder, place.uri, place.experiment, tags, draw, columns, tensorboard=files)
        )

    def _draw(self, tracker: Tracker, halt: Halt | None) -> None:
        """Write the report to the sweep folder."""
        hurry = halt is not None and halt.signal is not None
        sweep = self._sweep
        try:
            draw_at_end(sweep.folder, 0 if hurry else sweep.ledger.usage().wall_hours, sweep.progress.say)
        except Interrupted as signal:
            if signal.at_once:
                tracker.close(0)
                raise

    def _ship(self, tracker: Tracker, halt: Halt | None) -> str | None:
        """Wait for the tracker, for less time if the user has stopped the sweep.

        Returns:
            What the tracker lacks, if it does not have all data.
        """
        say = self._sweep.progress.say
        say(f"syncing remaining metrics to {tracker.name} ...")
        patience_s = SHIP_LAST_S if halt is None or halt.signal is None else SHIP_LAST_INTERRUPTED_S
        try:
            return tracker.close(patience_s, say)
        except Interrupted as signal:
            if signal.at_once:
                raise
            return missing_results(tracker.name, self._place.uri, self._sweep.spec.name, "the wait was interrupted")

    def _state(self, after: int = 0) -> str:
        """Return a digest that changes with everything that report and tracker show, and with the report file.

        Args:
            after: Number of ledger writes still to come, such as the write of this digest itself.
        """
        folder = self._sweep.folder
        files = [path.read_bytes() if path.exists() else b"" for path in (folder.spec, folder.manifest)]
        parts = (version(DISTRIBUTION), self._sweep.ledger.meta.seq + after, files, _stamp(folder.report))
        return hashlib.sha256(repr(parts).encode()).hexdigest()

    def _tracked(self) -> list[str] | None:
        """Return a value that changes with the sweep's runs in the tracker; `None` if its store is not a local file."""
        store = sqlite_file(self._place.uri)
        state = store and state_of_runs(store, tracked_as(self._sweep.ledger))
        return [self._place.uri, state] if state else None


def _stamp(path: Path) -> list[int] | None:
    """Return size and modification time of a file; `None` if it is empty or missing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return [found.st_size, found.st_mtime_ns] if found.st_size else None
