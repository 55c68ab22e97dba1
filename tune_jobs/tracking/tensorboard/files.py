"""A sweep's event files brought up to its ledger, once per call of `run`.

Each file becomes what the record says: whatever it has in common with that stays, the rest is written anew. So it may
be cut off anywhere, by a kill or a full disk: the next call completes it, and no number is missing or there twice.
"""

import contextlib
import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.record.rows import Attempt, Trial
from tune_jobs.results.columns import Column
from tune_jobs.results.history import effective
from tune_jobs.system.visible import visible
from tune_jobs.tracking.names import run_name

FOLDER = "tensorboard"
FILE = "events.out.tfevents.0.convnn"
"""TensorBoard knows event files by their names."""

LONGEST_NAME = 200
"""Bytes of a run's name, which is that of a folder."""


class EventFiles:
    """Those of one sweep."""

    def __init__(self, ledger: Ledger, place: Path, columns: Sequence[Column]) -> None:
        """Write nothing yet.

        Args:
            ledger: The sweep's.
            place: The folder of all of its runs.
            columns: What varies in it.
        """
        self._ledger = ledger
        self._place = place
        self._columns = columns
        self._seq = 0
        self._written: dict[str, object] = {}  # by run key: what beside its epochs was written

    def changed(self) -> list[str]:
        """The run keys of trials whose files are not as the record says, as far as that is known; all at first."""
        epochs = self._ledger.epochs(after=self._seq)
        if epochs:
            self._seq = epochs[-1].seq
        for epoch in epochs:
            self._written.pop(epoch.run_key, None)
        return [key for key, trial in self._trials().items() if self._written.get(key) != _beside(trial)]

    def write(self, run_key: str) -> None:
        """Bring the file of a trial up to the record.

        Raises:
            OSError: If there is no room or no access. The next call goes on from there.
        """
        trial = self._trials()[run_key]
        attempts = [attempt for attempt in self._ledger.attempts() if attempt.run_key == run_key]
        if attempts:
            self._write(trial, attempts)
        self._written[run_key] = _beside(trial)

    def tidy(self) -> None:
        """Remove files of trials that are excluded by now, or were called otherwise; nothing else in the folder."""
        ours = {_folder(run_name(trial, self._columns)) for trial in self._trials().values()}
        for file in self._place.glob(f"*/{FILE}"):
            if file.parent.name not in ours:
                file.unlink()
                with contextlib.suppress(OSError):  # somebody has put more there
                    file.parent.rmdir()

    def _trials(self) -> dict[str, Trial]:
        left_out = excluded(self._ledger.requests())
        return {each.run_key: each for each in self._ledger.trials(role=None) if each.run_key not in left_out}

    def _write(self, trial: Trial, attempts: list[Attempt]) -> None:
        from tune_jobs.tracking.tensorboard.events import events_of

        name = run_name(trial, self._columns)
        epochs = effective(self._ledger.epochs(trial.run_key))
        file = self._place / _folder(name) / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        become(file, events_of(trial, attempts, epochs, self._columns, name))


def become(file: Path, content: bytes) -> None:
    """Make a file hold the content, from where it differs on: TensorBoard, which may be reading it, reads on."""
    descriptor = os.open(file, os.O_RDWR | os.O_CREAT, 0o666)
    with os.fdopen(descriptor, "r+b") as there:
        before = there.read()
        same = len(before)
        if not content.startswith(before):
            same = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(before, content, strict=False)))
            there.truncate(same)
        if same < len(content):
            there.seek(same)
            there.write(content[same:])


def _folder(name: str) -> str:
    """A run's name as that of a folder: it begins with a number, and leads nowhere else."""
    plain = visible(name).replace("/", "_").replace("\n", " ")
    return os.fsencode(plain)[:LONGEST_NAME].decode(errors="ignore")


def _beside(trial: Trial) -> object:
    return trial.state, trial.number
