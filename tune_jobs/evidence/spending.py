"""Error spending: the significance level of each of several looks that limits the error of all looks together.

The statistic is a Brownian motion observed at information fractions (Lan and DeMets, Discrete sequential boundaries for
clinical trials, Biometrika 1983). Its density inside the boundaries is computed from look to look by numerical
integration (Armitage, McPherson and Rowe, 1969). scipy and statsmodels do not offer this.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache

import numpy as np
from scipy import optimize, stats

SpendingFunction = Callable[[float, float], float]
"""Returns the error spent up to an information fraction, for a total error."""

_POINTS = 2001
_BEYOND = 8.0
"""Number of standard deviations beyond which the density is negligible."""


def obrien_fleming(fraction: float, error: float) -> float:
    """Spend very little error early (Lan and DeMets 1983); each side of a two-sided test spends half."""
    one_side = stats.norm.isf(error / 4) / math.sqrt(fraction)
    return 4 * float(stats.norm.sf(one_side))


def pocock(fraction: float, error: float) -> float:
    """Spend the error for about the same boundary at every look (Lan and DeMets 1983)."""
    return error * math.log(1 + (math.e - 1) * fraction)


def kim_demets(power: float) -> SpendingFunction:
    """Spend `error * fraction ** power` (Kim and DeMets 1987)."""
    return lambda fraction, error: float(error * fraction**power)


@cache
def nominal_levels(fractions: tuple[float, ...], error: float, spending: SpendingFunction) -> tuple[float, ...]:
    """Return the two-sided significance level of each look.

    Args:
        fractions: Share of all information at each look, ascending, the last one 1.
        error: Two-sided error of all looks together.
        spending: How the error is spread over the looks.

    Returns:
        The levels. A p-value below the level of its look is significant. An interval at a look with confidence one
        minus its level is a repeated confidence interval (Jennison and Turnbull 1989): all intervals together contain
        the true value with probability `1 - error`.

    Raises:
        ValueError: If the fractions do not ascend to 1, or the error is not between 0 and 1.
    """
    _require(fractions, error)
    levels: list[float] = []
    grid, density, before, spent = np.zeros(1), np.ones(1), 0.0, 0.0
    for fraction in fractions:
        step = math.sqrt(fraction - before)
        due = max(spending(fraction, error) - spent, 1e-16)
        widest = _BEYOND * math.sqrt(fraction) + abs(grid).max()

        def outside(bound: float, grid: np.ndarray = grid, density: np.ndarray = density, step: float = step) -> float:
            upper = stats.norm.sf((bound - grid) / step) + stats.norm.cdf((-bound - grid) / step)
            return float(np.trapezoid(density * upper, grid)) if len(grid) > 1 else float(upper[0])

        bound = optimize.brentq(lambda b, f=outside, d=due: f(b) - d, 0, widest, xtol=1e-10)
        levels.append(2 * float(stats.norm.sf(bound / math.sqrt(fraction))))
        here = np.linspace(-bound, bound, _POINTS)
        if len(grid) > 1:
            moved = stats.norm.pdf((here[:, None] - grid[None, :]) / step) / step
            density = np.trapezoid(moved * density, grid, axis=1)
        else:
            density = stats.norm.pdf(here / step) / step
        grid, before, spent = here, fraction, spent + due
    return tuple(levels)


def _require(fractions: Sequence[float], error: float) -> None:
    ascends = all(a < b for a, b in zip((0.0, *fractions), fractions, strict=False))
    if not fractions or not ascends or fractions[-1] != 1:
        raise ValueError(f"information fractions must ascend from above 0 to 1, got {list(fractions)}.")
    if not 0 < error < 1:
        raise ValueError(f"the error must be between 0 and 1, got {error}.")
