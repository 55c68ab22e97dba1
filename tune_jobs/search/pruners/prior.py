"""What recorded sweeps say about a new one: which of them it resembles, and how well standing predicted finals there.

Eight trials at a tenth of their epochs are compared with each recorded sweep by five dimensionless numbers: the noise
of a curve, and the spread of the trials in value, in slope, in the logarithm of the loss and in its slope. Two sweeps
of the same model on different data also differ in these numbers (`BETWEEN`), and a new model may resemble no recorded
sweep. So nothing is ever certain. `python -m benchmarks.prior` writes the data from the packaged published runs.
"""

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from tune_jobs.search.pruners.lines import Belief, Floats

COMPARED = 8
"""Number of trials that are compared, at a tenth of their epochs."""
LEAST_EPOCHS = 5
"""Minimum number of epochs in that tenth; with fewer, the noise cannot be estimated."""
BETWEEN = np.array([0.2, 0.4, 0.5, 0.4, 0.5])
"""Standard deviation of the five numbers between two sweeps of the same model on different data."""
ANY = 1.0
"""The same between a recorded sweep and a sweep that resembles none of them."""
NONE_SHARE, KEPT = 0.5, 0.05
"""Prior odds of a sweep that resembles none of them against each of them; and the share that is never given to any."""
TEMPER = 0.7
"""Exponent of the likelihood, as the five numbers are not independent."""
STRENGTH, MORE_NOISE = 8.0, 1.3
"""Weight of recorded slopes, as a number of complete trials, and the factor by which their residual variance grows."""
_TAILS = 4.0
"""Degrees of freedom of the Student t densities: a sweep far from all of them resembles none."""
_LEAST_SPREAD = 0.003


class RecordedSweep(NamedTuple):
    """A summary of a recorded sweep."""

    name: str
    numbers: Floats
    """Medians over draws of eight trials, (5,)."""
    unsure: Floats
    """Their standard deviation over the draws, (5,)."""
    slopes: Floats
    """Slopes of the final value on value, minus log loss and slope, by rung, (rungs, 3)."""
    explained: Floats
    """Explained share of the variance of the finals, by rung."""

    def belief(self, rung: int, share: float) -> Belief:
        """Return its line as a belief for another sweep: the less it explained, the smaller its slopes."""
        kept = float(self.explained[rung])
        left = 1 - (2 - kept) * kept**2
        return Belief(kept * self.slopes[rung], STRENGTH, MORE_NOISE * left, STRENGTH, share)


@cache
def recorded_sweeps() -> tuple[RecordedSweep, ...]:
    """Return all packaged recorded sweeps."""
    found = json.loads(files(__package__).joinpath("prior.json").read_text(encoding="utf-8"))
    return tuple(
        RecordedSweep(name, **{field: np.array(values, np.float64) for field, values in each.items()})
        for name, each in found.items()
    )


def early_numbers(values: Floats, losses: Floats) -> Floats | None:
    """Return the five numbers of trials with the same number of epochs, or `None` if they cannot be computed.

    Args:
        values: Objective with higher better, (trials, epochs).
        losses: Minus the logarithm of the losses, (trials, epochs).
    """
    epochs = values.shape[1]
    if epochs < LEAST_EPOCHS or not (np.isfinite(values).all() and (values > 0).all() and losses.any()):
        return None
    half = epochs // 2
    value, before = _late(values, epochs), _late(values, half)
    loss, loss_before = _late(losses, epochs), _late(losses, half)
    noise = np.abs(np.diff(values[:, half // 2 :], n=2)).mean(1) / value
    spreads = (np.log(value), (value - before) / value, loss, loss - loss_before)
    return np.array([np.log(np.maximum(noise, 1e-6)).mean(), *(_log_spread(each) for each in spreads)])


def _late(values: Floats, epochs: int) -> Floats:
    mean: Floats = values[:, int(0.75 * epochs) : epochs].mean(1)
    return mean


def _log_spread(values: Floats) -> float:
    spread = np.abs(values - np.median(values)).mean() * len(values) / (len(values) - 1)
    return float(np.log(spread + _LEAST_SPREAD))


def resemblance(numbers: Floats, sweeps: tuple[RecordedSweep, ...]) -> Floats:
    """Return the probability that a new sweep resembles each of the recorded ones, (sweeps,)."""
    recorded = np.array([sweep.numbers for sweep in sweeps])
    variance = np.mean([sweep.unsure for sweep in sweeps], axis=0) ** 2 + BETWEEN**2
    centers = np.vstack([recorded, recorded.mean(0)])
    variances = np.vstack([np.tile(variance, (len(sweeps), 1)), np.full_like(variance, ANY**2)])
    far = np.log1p((numbers - centers) ** 2 / variances / _TAILS)
    likely = (-0.5 * np.log(variances) - (_TAILS + 1) / 2 * far).sum(1)
    logs = TEMPER * likely + np.log([*np.ones(len(sweeps)), NONE_SHARE])
    weights = np.exp(logs - logs.max())
    trusted: Floats = (1 - KEPT) * weights[:-1] / weights.sum()
    return trusted
