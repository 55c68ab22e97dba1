"""The effect of one field with the other fields held equal, by a linear model (ordinary least squares)."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy import optimize, special, stats

Array = NDArray[np.float64]
Groups = NDArray[np.int64]

LEVEL = 0.05
"""The chance that any claim of a page is false if no field has an effect."""

LEAST_DF = 10
"""Minimum residual degrees of freedom for a conclusion."""

LEAST_DF_ALONE = 5
"""The same for a field by itself, if there are too few for all fields."""

LEAST_RUNS = 5
"""Minimum number of configurations in a group that is compared."""

_TINY = 1e-9
_TOLERANCE = 1e-6


Why = Literal["", "few", "few values", "confounded", "selected"]


@dataclass(frozen=True)
class Factor:
    """A field of every configuration: its group, and the number itself if it is numeric."""

    groups: Groups
    """-1 if a configuration does not have the field."""

    numbers: Array | None
    """On the field's scale, NaN if missing; `None` if the values are not a range of numbers."""

    def of(self, mask: NDArray[np.bool_]) -> "Factor":
        """Return the factor for a subset of configurations."""
        return Factor(self.groups[mask], None if self.numbers is None else self.numbers[mask])


@dataclass(frozen=True)
class Pair:
    """The first group minus the second, with the other fields held equal."""

    groups: tuple[int, int]
    difference: float
    error: float
    df: int


@dataclass(frozen=True)
class Fit:
    """The results of one field's model: every comparable pair of groups, or why there is none."""

    pairs: list[Pair]
    rank: int
    why_none: Why = ""
    carried: tuple[int, ...] = ()
    """Indices of other fields with a single value for each group; their effects are part of these differences."""


def fit(values: Array, target: Factor, others: Sequence[Factor]) -> Fit:
    """Fit the groups of `target` together with the other fields.

    In the model, choices enter by value, and numbers by a linear and a quadratic term. A field that only some
    configurations have counts as its average where it is missing. So does a field that only refines the target, such as
    the lambda of hybrid layers if the target is the kind of layer.

    The error is the larger of two: from the common residual variance, and HC3, which is valid if groups have different
    variances (MacKinnon and White, 1985).
    """
    present, counts = np.unique(target.groups, return_counts=True)
    design = _joined(np.ones((len(values), 1)), [(target.groups == group) * 1.0 for group in present[1:]])
    if not len(values):
        return Fit([], 1, "few")
    carried = tuple(at for at, other in enumerate(others) if _decides(target, other))
    design = _beside(design, target, [other for at, other in enumerate(others) if at not in carried])
    u, s, vt = np.linalg.svd(design, full_matrices=False)
    rank = int((s > s[0] * _TINY).sum())
    u, s, vt = u[:, :rank], s[:rank], vt[:rank]
    df = len(values) - rank
    if df < LEAST_DF:
        return Fit([], rank, "few", carried)
    solve = (vt.T / s) @ u.T
    weights = solve @ values
    rest = values - design @ weights
    leverage = np.clip((u**2).sum(axis=1), 0.0, 1.0 - 1e-6)
    usual = solve @ solve.T * float(rest @ rest) / df
    robust = (solve * (rest / (1 - leverage)) ** 2) @ solve.T
    enough = [place for place, count in enumerate(counts) if count >= LEAST_RUNS]
    pairs = []
    for a, b in combinations(enough, 2):
        contrast = _contrast(a, b, design.shape[1])
        if np.linalg.norm(contrast - vt.T @ (vt @ contrast)) < _TOLERANCE:
            error = math.sqrt(max(float(contrast @ usual @ contrast), float(contrast @ robust @ contrast)))
            pairs.append(Pair((int(present[a]), int(present[b])), float(contrast @ weights), error, df))
    why: Why = "" if pairs else "few values" if len(enough) < 2 else "confounded"  # noqa: PLR2004 - a pair
    return Fit(pairs, rank, why, carried)


@dataclass(frozen=True)
class Share:
    """The part of the variation that a field explains, with its interval."""

    value: float
    low: float
    high: float
    alone: bool
    """Whether the other fields are left out of the model."""


def share(values: Array, target: Factor, others: Sequence[Factor], level: float) -> Share | None:
    """Return the part that `target` explains beyond the other fields; all enter the model as in `fit`.

    If that leaves too few degrees of freedom, the other fields are left out. The value is adjusted for degrees of
    freedom (epsilon squared), so it is about 0 if a field explains nothing. The interval is that of the noncentral F
    distribution (Steiger, 2004). Its low end is above 0 exactly if the F test is significant at `level` / 2.

    Returns:
        `None` if there are too few values.
    """
    free = [other for other in others if not _decides(target, other)]
    return _share(values, target, free, level) or _share(values, target, (), level)


def _share(values: Array, target: Factor, others: Sequence[Factor], level: float) -> Share | None:
    absent: Array = np.where(target.groups < 0, 1.0, 0.0)
    base = _joined(np.ones((len(values), 1)), [absent] if absent.any() else [])
    own = _with(base, target)
    design = _beside(own, target, others)
    rest, rank = _residual(design, values)
    more, fewer = _residual(np.delete(design, np.s_[base.shape[1] : own.shape[1]], axis=1), values)
    df, own_df, total = len(values) - rank, rank - fewer, len(values) * float(np.var(values))
    if df < (LEAST_DF if others else LEAST_DF_ALONE) or own_df < 1 or total <= 0:
        return None
    unexplained = max(rest, _TINY * total) / df
    f = (more - rest) / own_df / unexplained

    def end(probability: float, f: float) -> float:
        def above(noncentrality: float) -> float:
            found = special.ncfdtr(own_df, df, noncentrality, f)
            return float(np.nan_to_num(found)) - probability  # far out, scipy returns nan instead of 0

        if f <= 0 or above(0.0) <= 0:
            return 0.0
        found = optimize.brentq(above, 0.0, 10 * (own_df * f + df))
        return float(found / (found + len(values)) * more / total)

    value = max(0.0, more - rest - own_df * unexplained) / total
    high = end(level / 2, max(f, 1.0))  # 1 is expected without an effect; below it, the interval would be empty
    return Share(value, min(value, end(1 - level / 2, f)), max(value, high), alone=not others)


def _residual(design: Array, values: Array) -> tuple[float, int]:
    """Return the residual sum of squares of a design, and its rank."""
    weights, rank = _solved(design, values)
    rest = values - design @ weights
    return float(rest @ rest), rank


def _solved(design: Array, values: Array) -> tuple[Array, int]:
    """Solve least squares by the normal equations, faster for thousands of rows; return the weights and the rank."""
    weights, _, rank, _ = np.linalg.lstsq(design.T @ design, design.T @ values, rcond=_TINY)
    return np.asarray(weights, np.float64), int(rank)


def margin(pair: Pair, family: int) -> float:
    """Return half the width of a pair's interval, such that all of a family hold simultaneously (Bonferroni)."""
    return float(stats.t.ppf(1 - LEVEL / (2 * family), pair.df)) * pair.error


def parts_of(numbers: Array, most: int) -> Groups:
    """Return the bin of each number, of up to `most` bins of about equal size; equal numbers share a bin."""
    ends = np.quantile(numbers, np.arange(1, most) / most)
    found: Groups = np.unique(np.searchsorted(ends, numbers, side="left"), return_inverse=True)[1]
    return found


def _contrast(a: int, b: int, width: int) -> Array:
    """Return the contrast of the first group minus the second; group 0 is the baseline of the other columns."""
    found = np.zeros(width)
    for place, sign in ((a, 1.0), (b, -1.0)):
        if place:
            found[place] = sign
    return found


def _decides(one: Factor, other: Factor) -> bool:
    """Whether each group of `one` has a single value of `other`."""
    if one.numbers is not None or other.numbers is not None:
        return False  # a bin of a range has many values
    pairs = set(zip(one.groups.tolist(), other.groups.tolist(), strict=True))
    return len(pairs) == len(np.unique(one.groups))


def _beside(design: Array, target: Factor, others: Sequence[Factor]) -> Array:
    """Add the other fields to the design, first those that all configurations have."""
    for other in sorted(others, key=lambda each: int((each.groups < 0).sum())):
        design = _within(design, target, other) if _decides(other, target) else _with(design, other)
    return design


def _within(design: Array, target: Factor, other: Factor) -> Array:
    columns: list[Array] = []
    for group in np.unique(target.groups):
        present = np.unique(other.groups[target.groups == group])
        columns += _effects(other.groups, present)
    return _joined(design, columns)


def _effects(groups: Groups, present: Groups) -> list[Array]:
    """Return columns whose weights are differences from the average of the groups."""
    return [(groups == group) * 1.0 - (groups == present[-1]) for group in present[:-1]]


def _with(design: Array, other: Factor) -> Array:
    there = other.groups >= 0
    columns: list[Array] = []
    if not there.all():
        absent: Array = np.where(there, 0.0, 1.0)
        fitted = design @ _solved(design, absent)[0]
        if np.abs(fitted - absent).max() > _TOLERANCE:  # else another field already determines it
            columns.append(absent)
    if not there.any():
        return _joined(design, columns)
    if other.numbers is not None:
        line = np.nan_to_num((other.numbers - np.nanmean(other.numbers)) / (np.nanstd(other.numbers) or 1.0))
        columns += [line, np.where(there, line**2 - 1, 0.0)]
    else:
        columns += _effects(other.groups, np.unique(other.groups[there]))
    return _joined(design, columns)


def _joined(design: Array, columns: Sequence[Array]) -> Array:
    return np.column_stack([design, *columns]) if columns else design
