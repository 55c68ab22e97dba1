"""Writes a sweep's event files from its ledger.

Each file is made equal to the bytes of the record: their common beginning stays, and the rest is written again. If a
kill or a full disk cuts a file off anywhere, the next call completes it: no number is missing or duplicated.
"""

import contextlib
import os
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path

from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.record.rows import Attempt, State, Trial
from tune_jobs.results.columns import Column
from tune_jobs.results.history import effective
from tune_jobs.system.visible import visible
from tune_jobs.tracking.names import run_name

FOLDER = "tensorboard"
FILE = "events.out.tfevents.0.convnn"
"""TensorBoard recognizes event files by this form of name."""

LONGEST_NAME = 200
"""Maximum bytes in the name of a run's folder."""


class EventFiles:
    """The event files of one sweep."""

    def __init__(self, ledger: Ledger, place: Path, columns: Sequence[Column]) -> None:
        """Prepare the files, without writing.

        Args:
            ledger: The sweep's ledger.
            place: The folder of all its runs.
            columns: The fields that vary in the sweep.
        """
        self._ledger = ledger
        self._place = place
        self._columns = columns
        self._seq = 0
        self._seen: tuple[int, list[State]] | None = None  # the record at the last `changed`, if all was written
        self._names: set[str] = set()  # the folders of all runs
        self._written: dict[str, object] = {}  # by run key: the state and number that were written

    def changed(self, *, last: bool = False) -> list[tuple[Trial, list[Attempt]]] | None:
        """Read the record; return the trials whose files may differ from it, with their attempts; at first, all.

        Returns `None` if the record has no new epoch and no trial of the search has another state: while a sweep runs,
        its record often changes only in its cost. With `last`, only if the record has not changed at all.
        """
        now = (self._ledger.meta.seq, self._ledger.states())
        epochs = self._ledger.epochs(after=self._seq)
        if self._seen is not None and not epochs and (self._seen == now or (self._seen[1] == now[1] and not last)):
            return None
        if epochs:
            self._seq = epochs[-1].seq
        for epoch in epochs:
            self._written.pop(epoch.run_key, None)
        left_out = excluded(self._ledger.requests())
        trials = [trial for trial in self._ledger.trials(role=None) if trial.run_key not in left_out]
        self._names = {_folder(run_name(trial, self._columns)) for trial in trials}
        attempts: dict[str, list[Attempt]] = {}
        for attempt in self._ledger.attempts():  # after the trials: an ended trial has the end of its attempt
            attempts.setdefault(attempt.run_key, []).append(attempt)
        self._seen = now
        stale = [trial for trial in trials if self._written.get(trial.run_key) != _recorded(trial)]
        return [(trial, attempts.get(trial.run_key, [])) for trial in stale]

    def write(self, trial: Trial, attempts: Sequence[Attempt]) -> None:
        """Update the file of a trial from the record.

        Raises:
            OSError: If the disk is full or the file is not writable. The next call continues from there.
        """
        seen, self._seen = self._seen, None  # after an error, the next `changed` reads the record again
        if attempts:
            self._write(trial, attempts)
        self._written[trial.run_key] = _recorded(trial)
        self._seen = seen

    def tidy(self) -> None:
        """Remove files of excluded trials and of earlier run names, as of `changed`, and nothing else in the folder."""
        for file in self._place.glob(f"*/{FILE}"):
            if file.parent.name not in self._names:
                file.unlink()
                with contextlib.suppress(OSError):  # the user has other files there
                    file.parent.rmdir()

    def _write(self, trial: Trial, attempts: Sequence[Attempt]) -> None:
        from tune_jobs.tracking.tensorboard.events import events_of

        name = run_name(trial, self._columns)
        epochs = effective(self._ledger.epochs(trial.run_key))
        file = self._place / _folder(name) / FILE
        file.parent.mkdir(parents=True, exist_ok=True)
        make_equal(file, events_of(trial, attempts, epochs, self._columns, name))


def make_equal(file: Path, content: bytes) -> None:
    """Write the content to a file, from the first difference on, so that a running TensorBoard can keep reading it."""
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
    """Return the folder name of a run; it starts with a number, and cannot be a path."""
    plain = visible(name).replace("/", "_").replace("\n", " ")
    return os.fsencode(plain)[:LONGEST_NAME].decode(errors="ignore")


def _recorded(trial: Trial) -> object:
    return trial.state, trial.number
