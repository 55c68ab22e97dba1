"""Writes a sweep's event files for TensorBoard, in the background during the run or afterwards."""

import contextlib
import threading
import time
from collections.abc import Sequence

from tune_jobs.errors import LedgerError
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Attempt, Trial
from tune_jobs.tracking.base import Destination, Say, Tracked, Tracker, wait_for_end
from tune_jobs.tracking.tensorboard.files import FOLDER, EventFiles

_SUBJECT = "event files for TensorBoard"


class TensorBoardTracker(Tracker):
    """A thread that repeatedly updates the event files from the ledger until `close`."""

    name = "TensorBoard"

    def __init__(self, destination: Destination, every_s: float = 2.0) -> None:
        self._folder = destination.folder
        self._columns = destination.columns
        self._place = destination.folder.path / FOLDER
        self._every_s = every_s
        self._left: int | None = None
        self._error: str | None = None
        self._succeeded = 0.0
        self._closing = threading.Event()
        self._abandoned = threading.Event()
        self._done = threading.Event()
        self._writing = threading.Lock()
        self._thread = threading.Thread(target=self._run, name="tensorboard-files", daemon=True)

    @property
    def left(self) -> int | None:
        """Return the number of trials whose files are not up to date; `None` before the first check."""
        return self._left

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self, timeout_s: float, say: Say = lambda _: None) -> str | None:
        """Write the remaining files; see `Tracker`."""
        self._closing.set()
        if self._thread.ident is None:
            self._thread.start()
        begun, ended = time.monotonic(), False

        def is_silent() -> bool:
            return time.monotonic() >= timeout_s + max(begun, self._succeeded)

        try:
            ended = wait_for_end(self, self._done, is_silent, timeout_s, lambda text: say(f"{_SUBJECT}: {text}"))
        finally:
            self._abandoned.set()
            with self._writing:  # a file in progress is completed; no other file follows
                pass
        error = self._error if ended else f"some were not written within {timeout_s:g} s"
        return f"{_SUBJECT}: {error}" if error else None

    def tracked(self, ledger: Ledger, error: str | None = None) -> Tracked:
        """Return where the files are."""
        del ledger
        return Tracked(self._place.as_uri(), self._folder.name, None, error)

    def _run(self) -> None:
        try:
            with contextlib.closing(Ledger(self._folder.ledger)) as ledger:
                files = EventFiles(ledger, self._place, self._columns)
                while not self._abandoned.is_set():
                    last = self._closing.is_set()
                    changed = files.changed(last=last)
                    if changed is not None:
                        self._error = self._write(files, changed)
                    if last:
                        return
                    self._closing.wait(self._every_s)
        except (LedgerError, ImportError) as error:
            self._error = str(error)
        finally:
            self._done.set()

    def _write(self, files: EventFiles, changed: Sequence[tuple[Trial, list[Attempt]]]) -> str | None:
        """Write the files that changed, and return the first error; an error does not stop the other trials."""
        error: str | None = None
        for number, (trial, attempts) in enumerate(changed):
            self._left = len(changed) - number
            with self._writing:
                if self._abandoned.is_set():
                    return error
                try:
                    files.write(trial, attempts)
                    self._succeeded = time.monotonic()
                except OSError as refused:
                    error = error or f"{self._place} cannot be written: {refused.strerror}"
                except Exception as refused:  # noqa: BLE001 - an odd trial must not stop the sweep
                    reason = (str(refused).splitlines() or [type(refused).__name__])[0]
                    error = error or f"trial {trial.run_key}: {reason}"
        with self._writing:
            if not self._abandoned.is_set():
                with contextlib.suppress(OSError):
                    files.tidy()
        self._left = 0
        return error
