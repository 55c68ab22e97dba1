"""Where training states are kept, and which one training goes on from."""

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
"""Checkpoints kept of a trial that runs: the last one, and the one before in case the last is damaged."""


class Checkpoints(Protocol):
    """Is asked by training for a state to go on from, and after every epoch whether to keep one."""

    def sources(self) -> Sequence[Path]:
        """Files to go on from, the best first; the first that is whole is taken."""

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """A source that cannot be used; raises if that must not be passed over."""

    def resumed(self, note: str | None) -> None:
        """Training begins, or goes on; `note` says what differs from where the state was written, if anything does."""

    def due(self, *, last: bool) -> bool:
        """Whether to keep the state now; `last` after the last epoch."""

    def save(self, state: "TrainState") -> None:
        """Keep the state."""


class OneFile:
    """A file that is resumed from and written at most every `every_s` seconds, and after the last epoch."""

    def __init__(self, path: Path, every_s: float) -> None:
        self._path = path
        self._every_s = every_s
        self._saved = time.monotonic()

    def sources(self) -> Sequence[Path]:
        """The file."""
        return [self._path]

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """It would be overwritten: a person decides."""
        del path
        raise error

    def resumed(self, note: str | None) -> None:
        """What differs is said."""
        if note:
            _log.warning("%s", note)

    def due(self, *, last: bool) -> bool:
        """After `every_s`, and at the end."""
        return last or time.monotonic() - self._saved >= self._every_s

    def save(self, state: "TrainState") -> None:
        """Replace the file."""
        state.save(self._path)
        self._saved = time.monotonic()


class Only:
    """A file that is resumed from, and nothing is kept; raises if it cannot be used."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def sources(self) -> Sequence[Path]:
        """The file, which must be there."""
        self._path.stat()
        return [self._path]

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """There is no other one."""
        del path
        raise error

    def resumed(self, note: str | None) -> None:
        """Whoever asked for it reads the note of the state."""

    def due(self, *, last: bool) -> bool:
        """Never."""
        del last
        return False

    def save(self, state: "TrainState") -> None:
        """Nothing."""


class InSweep:
    """One attempt's checkpoints, one file per epoch; the trial's KEPT newest stay, earlier attempts' among them."""

    def __init__(
        self,
        folder: Path,
        earlier: Sequence[Path],
        every_s: float,
        *,
        keep_last: bool,
    ) -> None:
        """Keep them in `folder`, the attempt's.

        Args:
            folder: The attempt's own.
            earlier: Checkpoints of the trial's earlier attempts, the newest first.
            every_s: Least seconds between two.
            keep_last: Whether the state after the last epoch is kept too.
        """
        self._folder = folder
        self._earlier = list(earlier)
        self._every_s = every_s
        self._keep_last = keep_last
        self._saved = time.monotonic()
        self._notes: list[str] = []

    @property
    def note(self) -> str | None:
        """What was wrong with checkpoints that were not gone on from, and what differs from the one that was."""
        return " ".join(self._notes) or None

    def sources(self) -> Sequence[Path]:
        """The earlier attempts' checkpoints."""
        return list(self._earlier)

    def damaged(self, path: Path, error: "CheckpointError | OSError") -> None:
        """The one before is tried; this one is kept for a look, and does not count."""
        self._earlier.remove(path)
        _log.warning("not resumed: %s", error)
        self._notes.append(f"passed over a checkpoint: {error}")

    def resumed(self, note: str | None) -> None:
        """The time to the next one counts from here."""
        self._notes += [note] if note else []
        self._saved = time.monotonic()

    def due(self, *, last: bool) -> bool:
        """After `every_s`; after the last epoch as asked."""
        return self._keep_last if last else time.monotonic() - self._saved >= self._every_s

    def save(self, state: "TrainState") -> None:
        """Write one more, then drop what is too many; only a full disk is an error."""
        try:
            state.save(checkpoint_path(self._folder, state.epoch))
            self._earlier = [*checkpoints_in(self._folder), *(p for p in self._earlier if p.parent != self._folder)]
            for path in self._earlier[KEPT:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            if is_full(error):
                raise
            _log.warning("the checkpoint was not written, training goes on without: %s", error)
        self._saved = time.monotonic()
