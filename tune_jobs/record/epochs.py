"""Reads epochs from the ledger's file: one at a time, or those of a whole sweep in columns."""

import json
import math
import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from tune_jobs.record.rows import Epoch

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

COLUMNS = "seq, run_key, attempt, epoch, at, metrics"

CHUNK = 4096
"""Number of rows decoded at a time."""


@dataclass(frozen=True)
class EpochTable:
    """Epochs of some trials in columns, in order of recording. A million need as much memory as 10,000 `Epoch`s."""

    keys: Sequence[str]
    """The trials' run keys."""

    trial: "NDArray[np.int64]"
    """The trial of each epoch, as an index into `keys`."""

    attempt: "NDArray[np.int64]"
    epoch: "NDArray[np.int64]"
    metrics: "dict[str, NDArray[np.float64]]"
    """By name; nan if an epoch lacks the metric."""

    def __len__(self) -> int:
        return len(self.trial)

    def counting(self) -> "NDArray[np.int64]":
        """Return the indices of the epochs that count, by trial and epoch: each from the last attempt that ran it."""
        import numpy as np

        order = np.lexsort((self.attempt, self.epoch, self.trial))
        trial, epoch = self.trial[order], self.epoch[order]
        last = np.ones(len(order), dtype=bool)
        last[:-1] = (trial[1:] != trial[:-1]) | (epoch[1:] != epoch[:-1])
        return order[last]


def epoch_of(row: Sequence[Any]) -> Epoch:
    """Return an epoch from its row of `COLUMNS`."""
    seq, run_key, attempt, epoch, at, metrics, *_ = row
    return Epoch(seq, run_key, attempt, epoch, at, metrics_of(metrics))


def metrics_of(text: str) -> dict[str, float]:
    """Return the metrics of an epoch from their JSON text.

    Raises:
        ValueError: If the text is not valid.
    """
    (found,) = _decoded([text])
    return found


def _decoded(texts: list[str]) -> list[dict[str, float]]:
    try:
        found = list(map(from_json, texts))  # four times as fast as Python's parser
    except ValueError:
        found = list(map(json.loads, texts))  # Python's parser also accepts a lone surrogate
    if not all(type(each) is dict for each in found):
        raise ValueError("an epoch has no numbers by name")
    return found


def read_table(db: sqlite3.Connection, keys: Sequence[str], names: Iterable[str]) -> EpochTable:
    """Read the epochs of these trials, with the metrics of these names."""
    import numpy as np

    place = {key: number for number, key in enumerate(keys)}
    trials, attempts, epochs = array("q"), array("q"), array("q")
    columns = {name: array("d") for name in dict.fromkeys(names)}
    cursor = db.execute("SELECT run_key, attempt, epoch, metrics FROM epochs ORDER BY seq")
    while rows := cursor.fetchmany(CHUNK):
        ours = [row for row in rows if row[0] in place]
        trials.extend([place[row[0]] for row in ours])
        attempts.extend([row[1] for row in ours])
        epochs.extend([row[2] for row in ours])
        decoded = _decoded([row[3] for row in ours])
        for name, column in columns.items():
            column.extend([math.nan if (value := each.get(name)) is None else value for each in decoded])
    metrics = {name: np.asarray(column) for name, column in columns.items()}
    return EpochTable(keys, np.asarray(trials), np.asarray(attempts), np.asarray(epochs), metrics)
