"""Ships a sweep to MLflow: in the background while it runs, or afterwards what an outage left behind.

Training never waits for the tracker, and nothing is lost with it: the ledger has everything, and what MLflow lacks is
shipped when it answers. How, and what becomes of it there, is in `tune_jobs.tracking.mlflow.sync`.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from tune_jobs.errors import LedgerError, TrackerError, UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.redaction import tidy_tracking_token, without_password
from tune_jobs.tracking.mlflow.retry import Abandoned, Pulse, is_refusal, reason_of
from tune_jobs.tracking.mlflow.sync import Shipment
from tune_jobs.tracking.mlflow.views import trials_page

SYNC_PATIENCE_S = 40.0
"""`sync` gives up after so long without success; a single call may take 30 s."""

SAY_EVERY_S = 5.0
RETRY_S = 1.0
LONGEST_PAUSE_S = 60.0
_SQLITE = "sqlite:///"


@dataclass(frozen=True)
class Tracked:
    """Where a sweep is in MLflow."""

    uri: str
    """Without a password."""

    experiment: str
    page: str | None
    """Where a browser shows its trials; `None` where the tracker was never reached, or has no server."""

    error: str | None = None
    """Why it does not have everything."""


def tracked(ledger: Ledger, uri: str, experiment: str, error: str | None = None) -> Tracked:
    """Where the sweep of a ledger is in MLflow, now that it was shipped to `uri`, or was to be."""
    known = (ledger.meta.tracker, ledger.meta.tracker_experiment) == (uri, experiment)
    number, shown = ledger.meta.tracker_experiment_id if known else None, without_password(uri)
    return Tracked(shown, experiment, trials_page(shown, number) if number else None, error)


class Shipper:
    """A thread that brings MLflow up to the ledger, again and again, until `close`."""

    def __init__(
        self, folder: SweepFolder, uri: str, experiment: str, tags: dict[str, str], every_s: float = 2.0
    ) -> None:
        self.uri = uri
        self.error: str | None = None
        """Why MLflow does not have everything, as of the last try."""

        self._folder = folder
        self._experiment = experiment
        self._tags = tags
        self._every_s = every_s
        self._pulse = Pulse()
        self._closing = threading.Event()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, name="mlflow-shipper", daemon=True)

    @property
    def left(self) -> int | None:
        """Trials of which something is to be shipped; `None` before the first look."""
        return self._pulse.left

    def start(self) -> None:
        """Begin shipping."""
        self._thread.start()

    def close(self, timeout_s: float, say: Callable[[str], None] = lambda _: None) -> str | None:
        """Ship what is left and end the sweep's runs, as long as the tracker takes something.

        Afterwards nothing more is shipped, also where an exception ends the wait.

        Args:
            timeout_s: Give up after so long without success. Silence from before counts too, but the tracker gets one
                more try. With 0, give up at once.
            say: Is told every few seconds how many trials are left.

        Returns:
            The reason if something is not shipped.
        """
        self._closing.set()
        if self._thread.ident is None:
            self._thread.start()
        begun = time.monotonic()
        say_next = begun + SAY_EVERY_S
        try:
            while not self._done.wait(min(0.1, timeout_s)):
                if self.left and time.monotonic() >= say_next:
                    say(f"{self.left} trials left ...")
                    say_next = time.monotonic() + SAY_EVERY_S
                if self._pulse.silent(begun, timeout_s):
                    return self.error or f"no answer within {timeout_s:g} s"
        finally:
            self._pulse.abandoned.set()
        return self.error

    def _run(self) -> None:
        try:
            if self.uri.startswith(("http://", "https://")):
                tidy_tracking_token()
            with contextlib.closing(Ledger(self._folder.ledger)) as ledger:
                self._loop(Shipment(ledger, self._folder, self.uri, self._experiment, self._tags, pulse=self._pulse))
        except (LedgerError, UsageError) as error:
            self.error = str(error)
        finally:
            self._done.set()

    def _loop(self, shipment: Shipment) -> None:
        pause = self._every_s
        while True:
            last, tried_at = self._closing.is_set(), time.monotonic()
            try:
                self.error = shipment.ship(final=last)
                self._pulse.rest()
                pause, over = self._every_s, last
            except Abandoned:
                return
            except Exception as error:  # noqa: BLE001 - whatever the tracker does, the sweep goes on
                self.error = without_password(reason_of(error))
                self._pulse.miss(tried_at)
                pause = min(LONGEST_PAUSE_S, 2 * pause)
                over = last and (is_refusal(error) or isinstance(error, LedgerError | TrackerError))
            if over:
                return
            if last:
                self._pulse.abandoned.wait(RETRY_S)
            else:
                self._closing.wait(pause)


def sync(
    folder: SweepFolder,
    uri: str,
    experiment: str,
    tags: dict[str, str],
    say: Callable[[str], None] = lambda _: None,
    *,
    patience_s: float = SYNC_PATIENCE_S,
) -> None:
    """Ship everything that the tracker at `uri` lacks.

    Args:
        folder: The sweep; the caller holds its lease, and no attempt in it is running.
        uri: The tracker, from `tracker_of`.
        experiment: MLflow's experiment.
        tags: What new runs are tagged with.
        say: Is told how it goes.
        patience_s: Give up after so long without success.

    Raises:
        TrackerError: If it cannot be reached, or refuses something; everything else is shipped then.
    """
    say(f"shipping {folder.name} to {without_password(uri)} ...")
    error = Shipper(folder, uri, experiment, tags).close(patience_s, say)
    if error is not None:
        raise TrackerError(
            f"MLflow at {without_password(uri)} does not have everything of {folder.name}: {error}; when that is "
            f"mended: convnn sync {folder.name}"
        )


def tracker_of(uri: str | None, folder: SweepFolder, ledger: Ledger) -> str:
    """Where to ship: the file's uri, else MLFLOW_TRACKING_URI, else where it was before, else a store in its folder.

    So a sweep stays where it is when somebody goes on with it who has not set the variable.
    """
    given = uri or os.environ.get("MLFLOW_TRACKING_URI")
    return absolute(given) if given else _earlier(ledger) or folder.default_tracker


def _earlier(ledger: Ledger) -> str | None:
    """Where it was before, unless that is gone, or is a sweep folder's own, of which this one may be a copy."""
    uri = ledger.meta.tracker
    store = store_of(uri) if uri else None
    if store is None or (store.exists() and not SweepFolder(store.parent).ledger.exists()):
        return uri
    return None


def absolute(uri: str) -> str:
    """A tracker by an address that means the same in every folder: paths are made absolute."""
    if uri.startswith(_SQLITE):
        return f"{_SQLITE}{Path(uri.removeprefix(_SQLITE)).absolute()}" if is_relative(uri) else uri
    return uri if "://" in uri or uri.startswith("file:") else Path(uri).expanduser().absolute().as_uri()


def is_relative(uri: str) -> bool:
    """Whether a tracker is named by a path from the current folder."""
    if uri.startswith(_SQLITE):
        return not uri.startswith(f"{_SQLITE}/")
    return "://" not in uri and not uri.startswith("file:") and not Path(uri).expanduser().is_absolute()


def store_of(uri: str) -> Path | None:
    """Where a tracker lies that is a file or a folder; `None` for one that is served."""
    if uri.startswith(_SQLITE):
        return Path(uri.removeprefix(_SQLITE))
    return Path(unquote(urlsplit(uri).path)) if uri.startswith("file:") else None
