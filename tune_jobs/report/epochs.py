"""The recorded epochs of a sweep's trials, as far as a report needs them; read as columns."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tune_jobs.record.epochs import EpochTable
from tune_jobs.record.ledger import Ledger
from tune_jobs.report.sizes import Size

Array = NDArray[np.float64]
Whole = NDArray[np.int64]

_SIZES = ("params", "gflops")


@dataclass(frozen=True)
class Curve:
    """The epochs of one trial that count, in order, with the objective of each; NaN if it is missing."""

    epochs: Whole
    values: Array

    def __len__(self) -> int:
        return len(self.epochs)


@dataclass(frozen=True)
class Epochs:
    """The epochs of all trials."""

    ran: int
    """Number of recorded epochs, including repeated ones."""

    curves: dict[str, Curve]
    """By run key; only trials with a recorded epoch."""

    epoch_s: dict[str, float]
    """By run key, if recorded: the median seconds per epoch."""

    sizes: dict[str, Size]
    """By run key, if recorded."""

    @property
    def counting(self) -> int:
        """Number of epochs that count: each from the last attempt that ran it."""
        return sum(map(len, self.curves.values()))


def read_epochs(ledger: Ledger, run_keys: Sequence[str], metric: str) -> Epochs:
    """Read the epochs of these trials.

    Raises:
        LedgerError: If the record cannot be read.
    """
    table = ledger.epoch_table(run_keys, [metric, "epoch_s", *_SIZES])
    places = [(table.keys[table.trial[of[0]]], of) for of in _by_trial(table)]
    seconds = {key: _there(table.metrics["epoch_s"][of]) for key, of in places}
    sizes = {key: _there(*(table.metrics[name][of] for name in _SIZES)) for key, of in places}
    return Epochs(
        ran=len(table),
        curves={key: Curve(table.epoch[of], table.metrics[metric][of]) for key, of in places},
        epoch_s={key: float(np.median(found)) for key, found in seconds.items() if found.size},
        sizes={key: Size(int(found[0, 0]), float(found[1, 0])) for key, found in sizes.items() if found.size},
    )


def _by_trial(table: EpochTable) -> Iterator[Whole]:
    """Yield for each trial the indices of the epochs that count."""
    counting = table.counting()
    begins = np.flatnonzero(np.diff(table.trial[counting])) + 1
    return (of for of in np.split(counting, begins) if of.size)


def _there(*columns: Array) -> Array:
    """Return the columns without the epochs in which a value is missing."""
    found: Array = np.array(columns)
    there: Array = found[:, ~np.isnan(found).any(axis=0)]
    return there
