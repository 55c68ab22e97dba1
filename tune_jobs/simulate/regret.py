"""Means over repeats, with their confidence intervals."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

RESAMPLES = 2_000
INTERVAL = f"95% percentile bootstrap interval of the mean over repeats, {RESAMPLES:,} resamples"


@dataclass(frozen=True)
class Mean:
    """A mean and its 95% interval; the interval of a single value is `None`."""

    mean: float
    low: float | None
    high: float | None


def mean_of(values: Sequence[float]) -> Mean:
    """Return the mean with its interval (Efron 1979, percentile method); equal values always give the same interval."""
    found = np.asarray(values, float)
    if len(found) < 2:  # noqa: PLR2004 - one value has no spread
        return Mean(float(found.mean()), None, None)
    rng = np.random.default_rng(0)
    means = found[rng.integers(len(found), size=(RESAMPLES, len(found)))].mean(axis=1)
    low, high = np.quantile(means, [0.025, 0.975])
    return Mean(float(found.mean()), float(low), float(high))
