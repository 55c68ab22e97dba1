"""Where training states are saved, and which state training resumes from."""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from tune_jobs.record.folder import checkpoint_path, checkpoints_in
from tune_jobs.system.files import is_full

if TYPE_CHECKING:
    from convnn.checkpoint import CheckpointError
    from convnn.training import TrainState

_log = logging.getLogger(__name__)

KEPT = 2
"""Checkpoints kept per running trial: the last one, and the one before in case the last is damaged."""


class Checkpoints(Protocol):
    """Training asks it for a state to resume from, and after every epoch whether to save one."""

    def sources(self) -> Sequence[Path]:
        """Return the files to resume from, the best first. Training uses the first that is intact."""

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """Handle a source that cannot be used; raise if it must not be skipped."""

    def resumed(self, note: str | None) -> None:
        """Training starts or resumes. `note` says what differs from where the state was saved, if anything does."""

    def due(self, *, last: bool) -> bool:
        """Whether to save the state now; `last` after the last epoch."""

    def save(self, state: "TrainState") -> None:
        """Save the state."""


class OneFile:
    """One file to resume from. It is written at most every `every_s` seconds, and after the last epoch."""

    def __init__(self, path: Path, every_s: float) -> None:
        self._path = path
        self._every_s = every_s
        self._saved = time.monotonic()

    def sources(self) -> Sequence[Path]:
        """Return the file."""
        return [self._path]

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """Raise: the file would be overwritten, so the user must decide."""
        del path
        raise error

    def resumed(self, note: str | None) -> None:
        """Log what differs."""
        if note:
            _log.warning("%s", note)

    def due(self, *, last: bool) -> bool:
        """True after `every_s` seconds, and after the last epoch."""
        return last or time.monotonic() - self._saved >= self._every_s

    def save(self, state: "TrainState") -> None:
        """Replace the file."""
        state.save(self._path)
        self._saved = time.monotonic()


class Only:
    """One file to resume from; nothing is saved. Raises if the file cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sources(self) -> Sequence[Path]:
        """Return the file, which must exist."""
        self._path.stat()
        return [self._path]

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """Raise, since no other file is available."""
        del path
        raise error

    def resumed(self, note: str | None) -> None:
        """Do nothing: the caller reads the note of the state."""

    def due(self, *, last: bool) -> bool:
        """Never true."""
        del last
        return False

    def save(self, state: "TrainState") -> None:
        """Do nothing."""


class InSweep:
    """One attempt's checkpoints, one file per epoch. Only the trial's KEPT newest stay, over all its attempts."""

    def __init__(
        self,
        folder: Path,
        earlier: Sequence[Path],
        every_s: float,
        *,
        keep_last: bool,
    ) -> None:
        """Save checkpoints in `folder`.

        Args:
            folder: The attempt's folder.
            earlier: Checkpoints of the trial's earlier attempts, the newest first.
            every_s: Minimum seconds between two checkpoints.
            keep_last: Whether the state after the last epoch is saved, too.
        """
        self._folder = folder
        self._earlier = list(earlier)
        self._every_s = every_s
        self._keep_last = keep_last
        self._saved = time.monotonic()
        self._notes: list[str] = []

    @property
    def note(self) -> str | None:
        """Problems with skipped checkpoints, and what differs from the environment of the one that was used."""
        return " ".join(self._notes) or None

    def sources(self) -> Sequence[Path]:
        """Return the checkpoints of earlier attempts."""
        return list(self._earlier)

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """Skip to the checkpoint before. The damaged file stays for inspection, and no longer counts."""
        self._earlier.remove(path)
        _log.warning("skipped a damaged checkpoint: %s", error)
        self._notes.append(f"skipped a damaged checkpoint: {error}")

    def resumed(self, note: str | None) -> None:
        """Restart the interval to the next checkpoint."""
        self._notes += [note] if note else []
        self._saved = time.monotonic()

    def due(self, *, last: bool) -> bool:
        """True after `every_s` seconds; after the last epoch, true if `keep_last`."""
        return self._keep_last if last else time.monotonic() - self._saved >= self._every_s

    def save(self, state: "TrainState") -> None:
        """Write a checkpoint, then delete surplus ones. Only a full disk is an error."""
        try:
            state.save(checkpoint_path(self._folder, state.epoch))
            self._earlier = [*checkpoints_in(self._folder), *(p for p in self._earlier if p.parent != self._folder)]
            for path in self._earlier[KEPT:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            if is_full(error):
                raise
            _log.warning("the checkpoint was not written; training continues without it: %s", error)
        self._saved = time.monotonic()
