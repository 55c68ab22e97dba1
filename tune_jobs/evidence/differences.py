"""How much our runs of a configuration differ from recorded ones, and what so few runs can tell.

Recorded runs are often single, so their noise is that of all repeats that were recorded of similar configurations,
pooled (`pooled_noise`), and ours have the same unless they say otherwise.
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
"""Of a row's interval; and the share of false ones among the rows that are called different."""

POWER = 0.9
"""The chance with which a difference that can be resolved is found."""

NOISIER = 0.01
"""Our runs scatter more than the recorded ones if an F test says so at this level."""

LEAST_DF = 3
"""A pooled standard deviation of fewer degrees of freedom is not used where a wider pool has more."""

LAST_IMAGES, IMAGES, BATCHES = 16, 10_000, 40
"""The last test batch of the published runs, and what a mean of batch means takes it for: one of so many."""


@dataclass(frozen=True)
class Noise:
    """What repeats of one configuration differ by."""

    sd: float
    df: int
    of: str
    """Of which runs, in words."""


@dataclass(frozen=True)
class Sample:
    """Runs of one configuration."""

    n: int
    mean: float
    sd: float | None
    """`None` of a single one."""


@dataclass(frozen=True)
class Difference:
    """Ours less theirs."""

    mean: float
    low: float
    high: float
    """The 95% interval of this row alone."""

    p: float
    sd: float
    """Of one run, as it was used."""

    df: float
    batch_mean_sd: float
    """What their mean of batch means can be wrong by; 0 for losses, of which it is not known."""

    resolves: float
    """The smallest difference that so many runs would show, with a chance of 90%."""

    method: Literal["pooled t", "Welch t"]


def sample(values: Sequence[float] | Array) -> Sample:
    """Their number, mean and standard deviation."""
    found = np.asarray(values, float)
    return Sample(len(found), float(found.mean()), float(found.std(ddof=1)) if len(found) > 1 else None)


def pooled_noise(runs: Runs, config: TrialConfig, curve: Array, epoch: int) -> Noise | None:
    """The pooled standard deviation of recorded repeats: of the same model, data set and learning rate.

    Where those have too few repeats, of the same model and data set. Repeats count at this epoch, or at the last one
    that two of them have. `None` if there are no repeats.
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
    """What the authors' accuracy, a mean of batch means, can be wrong by: its last 16 images weigh 1/40.

    They are the same in every run, so more runs do not make it smaller.
    """
    p = min(max(accuracy, 0.0), 1.0)
    return (1 / BATCHES - LAST_IMAGES / IMAGES) * math.sqrt(p * (1 - p) / LAST_IMAGES)


def difference(ours: Sample, theirs: Sample, noise: Noise, batch_sd: float) -> Difference:
    """The difference of the means, with the interval of the t distribution.

    The standard deviation of one run is that of the recorded repeats pooled with ours. Only where ours scatter
    significantly more, it is Welch's interval, with each side's own.
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
    """In standard errors: the difference whose t is significant with a chance of `POWER` (noncentral t)."""
    needed = float(stats.t.isf(LEVEL / 2, df))
    return float(optimize.brentq(lambda shift: stats.nct.sf(needed, df, shift) - POWER, 0, 36, xtol=1e-6))


def verdicts(found: Sequence[Difference], margins: Sequence[float]) -> list[tuple[float, Verdict]]:
    """For each row its p-value adjusted for all rows, and what is shown.

    `different`: the adjusted p-value (Benjamini and Hochberg) is at most 5%, so that of all rows that are called
    different about 5% are so by chance; and where none differs, the chance that any is called so is 5%.
    `not resolvable`: so few runs would have missed even a difference of the row's margin too often.
    """
    adjusted = stats.false_discovery_control([each.p for each in found]) if found else []

    def verdict(row: Difference, p: float, margin: float) -> Verdict:
        if p <= LEVEL:
            return "different"
        return "not resolvable" if row.resolves > margin else "within noise"

    return [(float(p), verdict(row, p, m)) for row, p, m in zip(found, adjusted, margins, strict=True)]
