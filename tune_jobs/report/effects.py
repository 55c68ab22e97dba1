"""The effects of a sweep's fields: the results of each value, and which values differ significantly.

Uses complete trials only. A configuration with several seeds counts once, by their mean.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, median, stdev
from typing import Any, Literal

import numpy as np
from scipy import stats

from search_spaces.domains import Scalar
from tune_jobs.record.rows import BY_THE_RULE
from tune_jobs.report.axes import scale_of
from tune_jobs.report.surrogate import LEAST_DF, LEVEL, Factor, Fit, Groups, Why, fit, margin, parts_of
from tune_jobs.results.columns import NONE, Column
from tune_jobs.results.row import Row
from tune_jobs.results.summary import Summary

BINS = 3
"""Number of bins of a range of numbers; each has about the same number of configurations."""

SELECTED = 0.1
"""If stopping depends on a field's value at this significance level (chi-squared), complete trials are a selection."""

_SEED = "training.seed"

_ROUNDING = 1e-9

State = Literal["complete", "stopped", "lost", "other"]


@dataclass(frozen=True)
class Interval:
    """A number with its 95% interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Value:
    """The results of the configurations with one value of a field."""

    label: str
    tried: int
    complete: int
    stopped: int
    """Stopped by the rule."""

    lost: int
    """Diverged or failed."""

    best: float | None
    mean: float | None
    interval: tuple[float, float] | None
    """The 95% interval of the mean, for this value alone."""

    effect: Interval | None
    """The difference from the field's `reference`, other fields held equal; the intervals hold simultaneously."""

    epoch_s: float | None
    """The median seconds per epoch."""


@dataclass(frozen=True)
class Field:
    """A field that varies. `reference` is the index of the value with which the others are compared."""

    name: str
    values: list[Value]
    reference: int | None
    worse: list[int]
    """Indices of the values that are significantly worse than the reference."""

    most: float | None
    """An upper bound on the difference between any two values that can be compared."""

    carried: list[str]
    """Fields with a single value for each value of this field; their effects are part of its differences."""

    why_none: Why
    """Why no values are compared; empty if some are."""

    needed: int = 0
    """The number of complete configurations that a comparison needs."""


@dataclass(frozen=True)
class Effects:
    """The effects of all fields. `several` tells whether some configurations have several seeds."""

    metric: str
    goal: Literal["maximize", "minimize"]
    fields: list[Field]
    complete: int
    some_ended_early: bool
    """Whether trials were stopped, diverged or failed."""

    several: bool
    family: int
    """The number of comparisons that hold simultaneously."""


@dataclass(frozen=True)
class Tried:
    """One configuration, with all its seeds."""

    rows: list[Row]

    @cached_property
    def finals(self) -> list[float]:
        """The final value of each seed; a seed that is recorded under two keys counts once."""
        found = {r.config.training.seed: r.value for r in reversed(self.rows) if r.counts and r.state == "complete"}
        return [value for value in found.values() if value is not None]

    @property
    def state(self) -> State:
        if self.finals:
            return "complete"
        if any(row.state == "stopped" and row.reason == BY_THE_RULE for row in self.rows):
            return "stopped"
        return "lost" if any(row.state in ("diverged", "failed") for row in self.rows) else "other"

    @property
    def ended_early(self) -> bool:
        """Whether all its ended seeds were stopped (by the rule or by the user), diverged or failed."""
        return not self.finals and any(row.state in ("stopped", "diverged", "failed") for row in self.rows)


def effects_of(found: Summary, epoch_s: Mapping[str, float]) -> Effects:
    """Compare the values of every field that varies.

    Args:
        found: The sweep.
        epoch_s: Seconds per epoch by run key, if known.
    """
    columns, tried, split = compared(found)
    whole = np.array([bool(each.finals) for each in tried], dtype=bool)
    finals = np.array([fmean(each.finals) for each in tried if each.finals])
    factors = [factor.of(whole) for _, factor in split]
    selected = [_selected(tried, factor.groups) for _, factor in split]
    fits = [
        Fit([], 0) if skip else fit(finals, factors[at], factors[:at] + factors[at + 1 :])
        for at, skip in enumerate(selected)
    ]
    family = sum(len(each.pairs) for each in fits)
    names = [column.name for column in columns]
    fields = [
        _Compared(found, tried, labels, factor.groups, each, family).field(names, at, epoch_s, selected=selected[at])
        for at, ((labels, factor), each) in enumerate(zip(split, fits, strict=True))
    ]
    return Effects(
        metric=found.metric,
        goal=found.goal,
        fields=sorted(fields, key=lambda each: not each.worse),
        complete=len(finals),
        some_ended_early=any(each.ended_early for each in tried),
        several=any(len(each.rows) > 1 for each in tried),
        family=family,
    )


def compared(found: Summary) -> tuple[list[Column], list[Tried], list[tuple[list[str], Factor]]]:
    """Return the fields that vary, all configurations, and for each field its labels and the configurations' values."""
    columns = [column for column in found.columns if column.key != _SEED and _is_choice(found, column)]
    tried = _configurations(found.shown, columns)
    return columns, tried, [_split([each.rows[0].fields.get(column.key) for each in tried]) for column in columns]


def _is_choice(found: Summary, column: Column) -> bool:
    """Whether the trials that have the field differ in it; whether it is present belongs to another field."""
    return len({row.fields.get(column.key) for row in found.shown} - {None}) > 1


def _configurations(rows: Sequence[Row], columns: Sequence[Column]) -> list[Tried]:
    """Group trials that differ only in their seeds into configurations."""
    groups: dict[tuple[Scalar, ...], list[Row]] = {}
    for row in rows:
        groups.setdefault(tuple(row.fields.get(column.key) for column in columns), []).append(row)
    return [Tried(group) for group in groups.values()]


def _split(values: list[Scalar]) -> tuple[list[str], Factor]:
    """Group a field's values: each value of a choice, else the bins of a range; return the labels and the groups.

    The last label is that of group -1, if there is such a group.
    """
    scale = scale_of(values)
    if scale.categorical:
        names = dict(zip(scale.places, scale.labels, strict=True))
        order = sorted(names, key=lambda value: value is None)
        place = {value: -1 if value is None else at for at, value in enumerate(order)}
        return [names[value] for value in order], Factor(np.array([place[value] for value in values]), None)
    there = np.array([value is not None for value in values])
    numbers = np.where(there, [scale.places[value] for value in values], math.nan)
    groups = np.full(len(values), -1)
    groups[there] = parts_of(numbers[there], BINS)
    labels = []
    for part in range(groups.max() + 1):
        inside: list[Any] = [value for value, group in zip(values, groups, strict=True) if group == part]
        ends = dict.fromkeys(f"{end:.3g}" if isinstance(end, float) else str(end) for end in (min(inside), max(inside)))
        labels.append(" to ".join(ends))
    return labels if there.all() else [*labels, NONE], Factor(groups, numbers)


def _selected(tried: Sequence[Tried], groups: Groups) -> bool:
    """Whether trials with some values ended early more often, so that complete trials are a selection."""
    done = Counter(int(group) for each, group in zip(tried, groups, strict=True) if each.finals)
    early = Counter(int(group) for each, group in zip(tried, groups, strict=True) if each.ended_early)
    both = sorted({*done, *early})
    if len(both) == 1 or not done or not early:
        return False
    return bool(stats.chi2_contingency([[count[group] for group in both] for count in (done, early)]).pvalue < SELECTED)


@dataclass(frozen=True)
class _Compared:
    """One field, with the results of its model."""

    found: Summary
    tried: list[Tried]
    labels: list[str]
    groups: Groups
    fit: Fit
    family: int

    def field(self, names: list[str], own: int, epoch_s: Mapping[str, float], *, selected: bool) -> Field:
        differences = self._differences()
        reference = self._reference(differences)
        at = range(len(self.labels))
        effects = {} if reference is None else {place: differences.get((place, reference)) for place in at}
        bounds = [max(abs(each.low), abs(each.high)) for each in differences.values()]
        why: Why = "" if differences else "selected" if selected else self.fit.why_none
        return Field(
            name=names[own],
            values=[self._value(place, effects.get(place), epoch_s) for place in at],
            reference=reference,
            worse=[place for place, effect in effects.items() if effect is not None and self._worse(effect)],
            most=max(bounds, default=None),
            why_none=why,
            carried=[names[at + (at >= own)] for at in self.fit.carried],
            needed=self.fit.rank + LEAST_DF,
        )

    def _differences(self) -> dict[tuple[int, int], Interval]:
        """Return the differences by the indices of two values, in both directions."""
        found: dict[tuple[int, int], Interval] = {}
        for pair in self.fit.pairs:
            a, b = (group % len(self.labels) for group in pair.groups)
            half, value = margin(pair, self.family), pair.difference
            found[a, b] = Interval(value, value - half, value + half)
            found[b, a] = Interval(-value, -value - half, half - value)
        return found

    def _worse(self, effect: Interval) -> bool:
        """Whether the first value is significantly worse."""
        return effect.high < -_ROUNDING if self.found.goal == "maximize" else effect.low > _ROUNDING

    def _reference(self, differences: Mapping[tuple[int, int], Interval]) -> int | None:
        """Return the value that is significantly better than most others; ties go to the best by the model."""
        sign = 1 if self.found.goal == "maximize" else -1
        merits: dict[int, tuple[int, float]] = {}
        for (_, b), effect in differences.items():  # the other less b
            beaten, ahead = merits.get(b, (0, 0.0))
            merits[b] = beaten + self._worse(effect), ahead - sign * effect.value
        return max(merits, key=lambda place: merits[place], default=None)

    def _value(self, place: int, effect: Interval | None, epoch_s: Mapping[str, float]) -> Value:
        of = [e for e, group in zip(self.tried, self.groups, strict=True) if group % len(self.labels) == place]
        states = Counter(each.state for each in of)
        finals = [fmean(each.finals) for each in of if each.finals]
        speeds = [epoch_s[row.run_key] for each in of for row in each.rows if row.run_key in epoch_s]
        return Value(
            label=self.labels[place],
            tried=len(of),
            complete=len(finals),
            stopped=states["stopped"],
            lost=states["lost"],
            best=(max if self.found.goal == "maximize" else min)(finals, default=None),
            mean=fmean(finals) if finals else None,
            interval=_interval(finals),
            effect=effect,
            epoch_s=median(speeds) if speeds else None,
        )


def _interval(values: list[float]) -> tuple[float, float] | None:
    """Return the 95% interval of the mean, by Student's t."""
    if len(values) < 2:  # noqa: PLR2004 - one value has no spread
        return None
    mean, half = fmean(values), stdev(values) / math.sqrt(len(values))
    half *= float(stats.t.ppf(1 - LEVEL / 2, len(values) - 1))
    return mean - half, mean + half
