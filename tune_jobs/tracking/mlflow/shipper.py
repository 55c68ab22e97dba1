"""Tracks a sweep in MLflow: in the background while it runs, or afterwards to catch up after an outage.

Training never waits for the tracker, and an outage loses nothing: the ledger has all data, and the missing part is
synced when MLflow answers again. See `tune_jobs.tracking.mlflow.sync` for details.
"""

import contextlib
import threading
import time
from functools import partial

from tune_jobs.errors import LedgerError, TrackerError, UsageError
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.redaction import tidy_tracking_token, without_password
from tune_jobs.tracking.base import Destination, Say, Tracked, Tracker, missing_results, wait_for_end
from tune_jobs.tracking.mlflow.champion import registered
from tune_jobs.tracking.mlflow.retry import Abandoned, SyncHealth, is_refusal, reason_of
from tune_jobs.tracking.mlflow.sync import MLflowSync
from tune_jobs.tracking.mlflow.views import ALL, COMPLETE, trials_page

RETRY_S = 1.0
LONGEST_PAUSE_S = 60.0


class MLflowTracker(Tracker):
    """A thread that repeatedly syncs the ledger to MLflow, until `close`."""

    name = "MLflow"

    def __init__(self, destination: Destination, every_s: float = 2.0) -> None:
        self.error: str | None = None
        """Why the last try did not sync everything."""

        self._destination = destination
        self._sync: MLflowSync | None = None
        self._every_s = every_s
        self._health = SyncHealth()
        self._closing = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-sync", daemon=True)

    @property
    def left(self) -> int | None:
        """The number of trials with unsynced data; `None` before the first look."""
        return self._health.left

    def start(self) -> None:
        """Start syncing."""
        self._thread.start()

    def close(self, timeout_s: float, say: Say = lambda _: None) -> str | None:
        """Sync the remaining data and end the sweep's runs; see `Tracker`."""
        reason = self._close(timeout_s, say)
        if reason is None:
            return None
        destination = self._shown
        return missing_results(self.name, destination.uri, destination.folder.name, reason)

    def _close(self, timeout_s: float, say: Say) -> str | None:
        self._closing.set()
        if self._thread.ident is None:
            self._thread.start()
        is_silent = partial(self._health.silent, time.monotonic(), timeout_s)
        try:
            if not wait_for_end(self, self._done, is_silent, timeout_s, say):
                return self.error or f"no answer within {timeout_s:g} s"
        finally:
            self._health.abandoned.set()
        for note in self._sync.notes if self._sync else ():
            say(note)
        return self.error

    def tracked(self, ledger: Ledger, error: str | None = None) -> Tracked:
        """Return where the sweep is in MLflow."""
        uri, experiment = self._shown.uri, self._shown.experiment
        known = (ledger.meta.tracker, ledger.meta.tracker_experiment) == (uri, experiment)
        number, shown = ledger.meta.tracker_experiment_id if known else None, without_password(uri)
        view = COMPLETE if "complete" in ledger.states() else ALL
        page = trials_page(shown, number, view) if number else None
        return Tracked(shown, experiment, page, error, registered(ledger) if known else None)

    @property
    def _shown(self) -> Destination:
        """The destination, with the address that is in use."""
        return self._sync.destination if self._sync else self._destination

    def _run(self) -> None:
        try:
            if self._destination.uri.startswith(("http://", "https://")):
                tidy_tracking_token()
            with contextlib.closing(Ledger(self._destination.folder.ledger, upgrade=True)) as ledger:
                self._sync = MLflowSync(ledger, self._destination, self._health)
                with contextlib.closing(self._sync):
                    self._loop(self._sync)
        except (LedgerError, UsageError) as error:
            self.error = str(error)
        finally:
            self._done.set()

    def _loop(self, sync: MLflowSync) -> None:
        pause = self._every_s
        while True:
            last, tried_at = self._closing.is_set(), time.monotonic()
            try:
                self.error = sync.run(final=last)
                self._health.rest()
                pause, over = self._every_s, last
            except Abandoned:
                return
            except Exception as error:  # noqa: BLE001 - a tracker's error must not stop the sweep
                self.error = without_password(reason_of(error))
                self._health.miss(tried_at)
                pause = min(LONGEST_PAUSE_S, 2 * pause)
                over = last and (is_refusal(error) or isinstance(error, LedgerError | TrackerError))
            if over:
                return
            if last:
                self._health.abandoned.wait(RETRY_S)
            else:
                self._closing.wait(pause)
