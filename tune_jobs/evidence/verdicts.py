"""Decides whether configurations differ from a baseline, at several looks while seeds are added.

At each look, every configuration has the same number of runs as the baseline. Their difference is tested with Welch's t
(scipy), as the noise of configurations differs. The error of all looks is spent by Kim and DeMets' function
(`spending`), and shared among the configurations (Bonferroni). A configuration that is unlikely to become significant
gets no further seeds (predictive power, Spiegelhalter, Freedman and Blackburn 1986). That costs power but adds no
error.
"""

import math
import warnings
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from tune_jobs.evidence.spending import kim_demets, nominal_levels

Floats = npt.NDArray[np.float64]
Verdict = Literal["real", "equal", "not resolved", "open"]

LOOKS = (2, 4, 8, 16)
"""Number of runs of a configuration at each look."""

ERROR = 0.05
"""Chance that any of several equal configurations is called different."""

FUTILITY = 0.15
"""A configuration with a lower chance of ever becoming significant gets no further seeds."""

FEWEST = 4
"""Minimum number of runs for a difference to be called real: two runs that happen to be similar mislead a t-test."""

SPENDING = kim_demets(2)
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Design:
    """The design of a confirmation, fixed before the first run."""

    candidates: int
    margin: float
    """Differences below this do not matter, in the objective's unit."""

    error: float = ERROR
    looks: tuple[int, ...] = LOOKS

    @property
    def levels(self) -> tuple[float, ...]:
        """The two-sided level of each look, for each of the candidates."""
        fractions = tuple(runs / self.looks[-1] for runs in self.looks if runs >= FEWEST)
        spent = nominal_levels(fractions, self.error / self.candidates, SPENDING)
        return (*[0.0] * (len(self.looks) - len(spent)), *spent)


@dataclass(frozen=True)
class Difference:
    """The difference between a configuration and the baseline, with the same number of runs."""

    runs: int
    mean: float
    """The configuration's mean minus the baseline's; above 0 is better."""

    low: float
    high: float
    """Upper end of the repeated confidence interval: all intervals together contain the true values with 1 - error."""

    p: float
    verdict: Verdict
    seeds_more: int | None = None
    """If not resolved: about the number of further runs of each that would make this difference significant."""


def judge(design: Design, ours: Floats, baseline: Floats) -> Difference:
    """Return the verdict at the look with these runs.

    Args:
        design: The design of the whole confirmation.
        ours: The objective of each run of the configuration.
        baseline: The objective of the same number of runs of the baseline.

    Raises:
        ValueError: If the numbers of runs differ, or no look has this number.
    """
    look = _look(design, ours, baseline)
    level = design.levels[look]
    (mean, low, high, p), real, gives_up = _looked_at(design, look, ours, baseline)
    equal = -design.margin < low and high < design.margin
    verdict: Verdict = "real" if real else "equal" if equal else "not resolved" if gives_up else "open"
    more = None
    if verdict == "not resolved":
        more = seeds_to_resolve(abs(float(mean)), _sd(ours, baseline), level) - len(ours)
    return Difference(
        len(ours), float(mean), float(low), float(high), float(p), verdict, max(1, more) if more else None
    )


def decided(design: Design, look: int, ours: Floats, baseline: Floats) -> tuple[Any, Any]:
    """Judge many at the same time, with runs on the last axis: which are real, and which get no further seeds."""
    (_, low, high, _), real, gives_up = _looked_at(design, look, ours, baseline)
    return real, real | gives_up | ((-design.margin < low) & (high < design.margin))


def seeds_to_resolve(difference: float, sd: float, level: float, power: float = 0.8) -> int:
    """Return the runs of each of two configurations for a significant difference with this power (noncentral t)."""
    if difference <= 0 or not math.isfinite(difference):
        return _MOST_SEEDS
    few, many = 2, _MOST_SEEDS
    while few < many:
        runs = (few + many) // 2
        shift, df = difference / (sd * math.sqrt(2 / runs) or 1e-300), 2 * (runs - 1)
        enough = stats.nct.sf(stats.t.isf(level / 2, df), df, min(shift, 37.0)) >= power
        few, many = (few, runs) if enough else (runs + 1, many)
    return few


def _look(design: Design, ours: Floats, baseline: Floats) -> int:
    if len(ours) != len(baseline) or len(ours) not in design.looks:
        raise ValueError(
            f"a look must have the same number of runs of both, one of {list(design.looks)}; got {len(ours)} and "
            f"{len(baseline)}."
        )
    return design.looks.index(len(ours))


def _sd(ours: Floats, baseline: Floats) -> float:
    return math.sqrt((ours.var(ddof=1) + baseline.var(ddof=1)) / 2)


def _looked_at(design: Design, look: int, ours: Floats, baseline: Floats) -> tuple[tuple[Any, ...], Any, Any]:
    """Return mean, interval and p; whether it is significant; whether it is unlikely to become so by the last look."""
    level = design.levels[look]
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):  # if all runs are equal
        test = stats.ttest_ind(ours, baseline, axis=-1, equal_var=False)
        interval = test.confidence_interval(1 - level)
    real = test.pvalue < level
    fraction = design.looks[look] / design.looks[-1]
    if fraction == 1:
        gives_up = ~real
    else:
        z = np.sign(test.statistic) * stats.norm.isf(np.clip(test.pvalue / 2, 1e-300, 1)) / math.sqrt(fraction)
        needed, ahead = stats.norm.isf(design.levels[-1] / 2), math.sqrt((1 - fraction) / fraction)
        chance = stats.norm.sf((needed - z) / ahead) + stats.norm.cdf((-needed - z) / ahead)
        gives_up = ~real & (chance < FUTILITY)
    mean = ours.mean(axis=-1) - baseline.mean(axis=-1)
    return (mean, interval.low, interval.high, test.pvalue), real, gives_up
