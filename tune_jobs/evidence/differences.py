"""The difference between our runs of a configuration and recorded ones, and what so few runs can show.

Recorded runs are often single. So their noise is pooled over all recorded repeats of similar configurations
(`pooled_noise`). Our runs are assumed to have the same noise, unless they show otherwise.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
from scipy import optimize, stats

from search_spaces import TrialConfig
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.table import Array

Verdict = Literal["within noise", "different", "not resolvable"]

LEVEL = 0.05
"""The level of a row's interval, and the false discovery rate among the rows called different."""

POWER = 0.9
"""The chance of finding a resolvable difference."""

NOISIER = 0.01
"""Level of the F test that decides whether our runs scatter more than the recorded ones."""

LEAST_DF = 3
"""A pooled standard deviation with fewer degrees of freedom is not used if a wider pool has more."""

LAST_IMAGES, IMAGES, BATCHES = 16, 10_000, 40
"""Size of the last test batch of the published runs, number of test images, and number of batches in the mean."""


@dataclass(frozen=True)
class Noise:
    """The noise between repeats of one configuration."""

    sd: float
    df: int
    of: str
    """The runs from which it was estimated, in words."""


@dataclass(frozen=True)
class Sample:
    """Runs of one configuration."""

    n: int
    mean: float
    sd: float | None
    """`None` for a single run."""


@dataclass(frozen=True)
class Difference:
    """Our mean minus theirs."""

    mean: float
    low: float
    high: float
    """The 95% interval of this row alone."""

    p: float
    sd: float
    """The standard deviation of one run that was used."""

    df: float
    batch_mean_sd: float
    """Error of their mean of batch means, as a standard deviation; 0 for losses, for which it is not known."""

    resolves: float
    """The smallest difference that this number of runs shows with a chance of 90%."""

    method: Literal["pooled t", "Welch t"]


def sample(values: Sequence[float] | Array) -> Sample:
    """Return number, mean and standard deviation of values."""
    found = np.asarray(values, float)
    return Sample(len(found), float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None)


def pooled_noise(runs: Runs, config: TrialConfig, curve: Array, epoch: int) -> Noise | None:
    """Return the pooled standard deviation of recorded repeats with the same model, data set and learning rate.

    If there are too few of them, all learning rates are pooled. Repeats are taken at this epoch, or at the last one
    that two of them have. Return `None` if there are no repeats.
    """
    name, data, lr = config.model.name, config.data.name, config.training.lr
    about = f"{name}, {data}"
    rate = _pooled(runs, curve, epoch, model=name, data=data, lr=lr)
    if rate is not None and rate[1] >= LEAST_DF:
        return Noise(*rate, f"{about}, lr {lr:g}")
    every = _pooled(runs, curve, epoch, model=name, data=data, lr=None)
    return None if every is None else Noise(*every, about)


def _pooled(
    runs: Runs, curve: Array, epoch: int, *, model: str, data: str, lr: float | None
) -> tuple[float, int] | None:
    squares, df = 0.0, 0
    for numbers in runs.by_key.values():
        if len(numbers) < 2:  # noqa: PLR2004 - no repeats
            continue
        config = runs.table.runs[numbers[0]].config
        assert config is not None
        same = (config.model.name, config.data.name) == (model, data) and lr in (None, config.training.lr)
        if not same:
            continue
        lengths = runs.table.lengths[numbers]
        at = min(epoch, int(np.sort(lengths)[-2]))
        values = curve[np.array(numbers)[lengths >= at], at - 1]
        squares += float(((values - values.mean()) ** 2).sum())
        df += len(values) - 1
    return (math.sqrt(squares / df), df) if df else None


def batch_mean_sd(accuracy: float) -> float:
    """Return the error of the authors' accuracy, a mean of batch means in which the last 16 images weigh 1/40.

    These images are the same in every run, so more runs do not reduce the error.
    """
    p = min(max(accuracy, 0.0), 1.0)
    return (1 / BATCHES - LAST_IMAGES / IMAGES) * math.sqrt(p * (1 - p) / LAST_IMAGES)


def difference(ours: Sample, theirs: Sample, noise: Noise, batch_sd: float) -> Difference:
    """Return the difference of the means, with an interval from the t distribution.

    The standard deviation of one run is pooled over the recorded repeats and ours. Only if ours scatter significantly
    more, Welch's interval is used, with a separate standard deviation for each side.
    """
    own = (ours.sd or 0.0) ** 2
    shares = np.array([1 / ours.n, 1 / theirs.n])
    noisier = ours.n > 1 and stats.f.sf(own / max(noise.sd**2, 1e-300), ours.n - 1, noise.df) < NOISIER
    if noisier:
        parts, dfs = shares * [own, noise.sd**2], np.array([ours.n - 1.0, noise.df])
        sd = math.sqrt(own)
    else:
        df = noise.df + ours.n - 1
        sd = math.sqrt((noise.df * noise.sd**2 + (ours.n - 1) * own) / df)
        parts, dfs = np.array([sd**2 * shares.sum()]), np.array([float(df)])
    variance = float(parts.sum()) + batch_sd**2
    df_used = float(variance**2 / (parts**2 / dfs).sum())  # Satterthwaite; the batch mean's part is known
    error, mean = math.sqrt(variance), ours.mean - theirs.mean
    half = float(stats.t.isf(LEVEL / 2, df_used)) * error
    return Difference(
        mean=mean,
        low=mean - half,
        high=mean + half,
        p=float(2 * stats.t.sf(abs(mean) / error, df_used)),
        sd=sd,
        df=df_used,
        batch_mean_sd=batch_sd,
        resolves=_found_with_power(round(df_used, 1)) * error,
        method="Welch t" if noisier else "pooled t",
    )


@lru_cache(maxsize=4096)
def _found_with_power(df: float) -> float:
    """Return the difference, in standard errors, that is significant with a chance of `POWER` (noncentral t)."""
    needed = float(stats.t.isf(LEVEL / 2, df))
    return float(optimize.brentq(lambda shift: stats.nct.sf(needed, df, shift) - POWER, 0, 36, xtol=1e-6))


def verdicts(found: Sequence[Difference], margins: Sequence[float]) -> list[tuple[float, Verdict]]:
    """Return for each row the p-value adjusted for all rows, and the verdict.

    `different`: the adjusted p-value (Benjamini and Hochberg) is at most 5%. So about 5% of all rows called different
    are so by chance; and if no row really differs, the chance that any is called different is 5%.
    `not resolvable`: this number of runs would have missed even a difference of the row's margin too often.
    """
    adjusted = stats.false_discovery_control([each.p for each in found]) if found else []

    def verdict(row: Difference, p: float, margin: float) -> Verdict:
        if p <= LEVEL:
            return "different"
        return "not resolvable" if row.resolves > margin else "within noise"

    return [(float(p), verdict(row, p, m)) for row, p, m in zip(found, adjusted, margins, strict=True)]
