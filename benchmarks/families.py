"""Tables of synthetic learning curves, each a pure function of its seed, as stress tests for stopping rules.

Every table has enough trials for a search at the largest budget, and the same number of epochs as the recorded tables
here. Larger values are better, except in the family `minimised`.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]
EPOCHS, TRIALS = 100, 400


class Table(NamedTuple):
    """The curves of many trials."""

    values: Floats
    """(trials, epochs)."""
    losses: Floats | None
    maximize: bool = True


def with_loss(table: Table) -> Table:
    """Prepare curves for a prior: values above 0, and a loss. A minimised table is unchanged, as it has no prior."""
    if not table.maximize:
        return table
    lowest = np.nanmin(table.values)
    values = table.values if lowest > 0 else table.values - lowest + 1
    return Table(values, np.exp(-table.values / 10) if table.losses is None else table.losses)


def _rise(rng: np.random.Generator, ends: Floats, epochs: int = EPOCHS, speed: Floats | None = None) -> Floats:
    """Return curves that rise exponentially from near 0 to their ends."""
    time = np.arange(1, epochs + 1) / epochs
    rate = rng.uniform(3, 12, (len(ends), 1)) if speed is None else speed
    curves: Floats = ends[:, None] * (1 - np.exp(-rate * time)) / (1 - np.exp(-rate))
    return curves


def settled(seed: int) -> Table:
    """Ranks are settled at a tenth of the epochs: one shape for all trials, and little noise."""
    rng = np.random.default_rng(seed)
    ends = rng.normal(10, 1, TRIALS)
    values = _rise(rng, ends, speed=np.full((TRIALS, 1), 30.0))
    return Table(values + rng.normal(0, 0.03, values.shape), None)


def crossing(seed: int) -> Table:
    """Ranks before a late epoch predict nothing, or the opposite: all curves cross at 40 to 90% of the epochs."""
    rng = np.random.default_rng(seed)
    ends, early = rng.normal(0, 1, TRIALS), rng.normal(0, 1, TRIALS)
    early = early + rng.uniform(-1, 0) * ends
    when = rng.uniform(0.4, 0.9)
    time = np.arange(1, EPOCHS + 1) / EPOCHS
    late = 1 / (1 + np.exp(-(time - when) / 0.03))
    values = early[:, None] * (1 - late) + ends[:, None] * late + 5 * time
    return Table(values + rng.normal(0, 0.02, values.shape), None)


def noise(seed: int) -> Table:
    """Pure noise, independent in every epoch."""
    rng = np.random.default_rng(seed)
    return Table(rng.normal(0, 1, (TRIALS, EPOCHS)) + np.linspace(0, 3, EPOCHS), None)


def loud(seed: int) -> Table:
    """True differences, with noise of one to three times their size in every epoch, including the last one."""
    rng = np.random.default_rng(seed)
    values = _rise(rng, rng.normal(10, 1, TRIALS))
    return Table(values + rng.normal(0, rng.uniform(1, 3), values.shape), None)


def plateau(seed: int) -> Table:
    """Each trial stays at chance for a random time, up to 80% of the epochs, then rises suddenly."""
    rng = np.random.default_rng(seed)
    ends = rng.normal(10, 1, TRIALS)
    start = rng.uniform(0, 0.8, (TRIALS, 1))
    time = np.arange(1, EPOCHS + 1) / EPOCHS
    values = 1 + (ends[:, None] - 1) * np.clip((time - start) / 0.15, 0, 1)
    return Table(values + rng.normal(0, 0.05, values.shape), None)


def divergence(seed: int) -> Table:
    """A third of the trials drop at a random time: to chance, or in a tenth of all trials to NaN."""
    rng = np.random.default_rng(seed)
    values = _rise(rng, rng.normal(10, 1, TRIALS))
    values += rng.normal(0, 0.1, values.shape)
    falls, breaks = 1 / 3, 0.1
    kind, when = rng.uniform(size=TRIALS), rng.integers(2, EPOCHS, TRIALS)
    for trial in range(TRIALS):
        if kind[trial] < falls:
            values[trial, when[trial] :] = np.nan if kind[trial] < breaks else 1.0
    return Table(values, None)


def cosine(seed: int) -> Table:
    """Cosine schedules: high learning rates give low, noisy values until they decay, and often end best."""
    rng = np.random.default_rng(seed)
    ends, rate = rng.normal(10, 1, TRIALS), rng.uniform(0, 1, (TRIALS, 1))
    time = np.arange(1, EPOCHS + 1) / EPOCHS
    warm = (1 + np.cos(np.pi * time)) / 2
    values = _rise(rng, ends) - 4 * rate * warm + rate * warm * rng.normal(0, 1, (TRIALS, EPOCHS))
    return Table(values, np.exp(-values / 10))


def ties(seed: int) -> Table:
    """Values with only a few distinct levels: most trials are equal at most epochs."""
    rng = np.random.default_rng(seed)
    values = _rise(rng, rng.normal(10, 1, TRIALS)) + rng.normal(0, 0.2, (TRIALS, EPOCHS))
    return Table(np.round(values), None)


def minimised(seed: int) -> Table:
    """A loss to minimise, over orders of magnitude, with crossing curves."""
    rng = np.random.default_rng(seed)
    gain, speed = rng.normal(1.5, 0.5, TRIALS), rng.uniform(1, 8, (TRIALS, 1))
    values = np.exp(1 - _rise(rng, gain, speed=speed) + rng.normal(0, 0.03, (TRIALS, EPOCHS)))
    return Table(values, values, maximize=False)


FAMILIES: dict[str, Callable[[int], Table]] = {
    made.__name__: made for made in (settled, crossing, noise, loud, plateau, divergence, cosine, ties, minimised)
}
