"""What recorded sweeps say of a new one: which of them its first trials resemble, and what standing was worth there.

Eight trials at a tenth of their epochs are compared with each recorded sweep by five numbers without a unit: how noisy
a course is, how far the trials lie apart in value, in slope, in the logarithm of the loss and in the slope of that.
Two sweeps of a model over different data differ in them, too (`BETWEEN`), and a new model may be like none of them, so
nothing is ever certain. Written by `python -m benchmarks.prior` from the packaged published runs.
"""

import json
from functools import cache
from importlib.resources import files
from typing import NamedTuple

import numpy as np

from tune_jobs.search.pruners.lines import Belief, Floats

COMPARED = 8
"""Trials that are compared, at a tenth of the epochs."""
LEAST_EPOCHS = 5
"""In that tenth; with fewer no noise can be told."""
BETWEEN = np.array([0.2, 0.4, 0.5, 0.4, 0.5])
"""Standard deviation of the five numbers between two sweeps of a model over different data."""
ANY = 1.0
"""The same between a recorded sweep and one like none of them."""
NONE_SHARE, KEPT = 0.5, 0.05
"""Odds, before anything is seen, of a sweep like none of them to one of them; and what is never trusted to any."""
TEMPER = 0.7
"""Exponent of the likelihood: the five numbers are not independent."""
STRENGTH, MORE_NOISE = 8.0, 1.3
"""Complete trials that recorded slopes are worth here, and how much more variance they are expected to leave."""
_TAILS = 4.0
"""Degrees of freedom of Student's densities: what lies far from all is like none."""
_LEAST_SPREAD = 0.003


class RecordedSweep(NamedTuple):
    """A summary of a recorded sweep."""

    name: str
    numbers: Floats
    """Medians over draws of eight trials, (5,)."""
    unsure: Floats
    """Their standard deviation over the draws, (5,)."""
    slopes: Floats
    """Of the final value on value, minus log loss and slope, by rung, (rungs, 3)."""
    explained: Floats
    """Share of the variance of the finals, by rung."""

    def belief(self, rung: int, share: float) -> Belief:
        """Its line for another sweep: the less it explained, the less is made of its slopes."""
        kept = float(self.explained[rung])
        left = 1 - (2 - kept) * kept**2
        return Belief(kept * self.slopes[rung], STRENGTH, MORE_NOISE * left, STRENGTH, share)


@cache
def recorded_sweeps() -> tuple[RecordedSweep, ...]:
    """All that are packaged."""
    found = json.loads(files(__package__).joinpath("prior.json").read_text(encoding="utf-8"))
    return tuple(
        RecordedSweep(name, **{field: np.array(values, np.float64) for field, values in each.items()})
        for name, each in found.items()
    )


def early_numbers(values: Floats, losses: Floats) -> Floats | None:
    """The five numbers of trials that have come as far as each other, or `None` where they make no sense.

    Args:
        values: More being better, (trials, epochs).
        losses: Minus their logarithm, (trials, epochs).
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
    """How probable it is that a new sweep is like each of the recorded ones, (sweeps,)."""
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
