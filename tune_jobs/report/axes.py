"""The fields that differ between a sweep's trials, and the position of their values on an axis."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces.domains import Choice, Domain, FloatRange, IntRange, Scalar
from search_spaces.nodes import Branches, Fixed, Group, Leaf, SpaceNode
from tune_jobs.results.columns import NONE, SEED, Column, keys_of, label
from tune_jobs.results.row import Row

FEW = 8
"""Up to this many different numbers that recur are separate categories on an axis."""

WIDE = 20
"""A range of positive numbers is logarithmic if its end is at least this many times its start."""

NEAR = 0.09
"""A tick closer to an end of the axis than this fraction of it is left out."""

ABSENT = "absent"
"""Label of a missing field if `none` is also a value."""


@dataclass(frozen=True)
class Parameter:
    """A field's value in each trial, by run key; `None` if a trial does not have the field."""

    name: str
    values: dict[str, Scalar]
    declared: Domain | None = None
    """The field's domain in the space, if known."""

    @cached_property
    def scale(self) -> "Scale":
        """The field's axis."""
        return scale_of(self.values.values(), self.declared)


@dataclass(frozen=True)
class Scale:
    """An axis: the positions of the values, and the ticks with their labels."""

    places: dict[Scalar, float]
    ticks: list[float]
    labels: list[str]
    categorical: bool
    log: bool = False

    @property
    def ends(self) -> list[float]:
        """The first and the last position; both have a label."""
        return [min(self.ticks), max(self.ticks)]

    @property
    def range(self) -> list[float]:
        """From end to end, with a margin."""
        low, high = self.ends
        margin = 0.5 if self.categorical else 0.04 * (high - low)
        return [low - margin, high + margin]


def parameters(rows: list[Row], columns: list[Column], declared: Mapping[str, Domain]) -> list[Parameter]:
    """Return the fields whose values differ between the trials that have them, except the seed."""
    found = (
        Parameter(column.name, {row.run_key: row.fields.get(column.key) for row in rows}, declared.get(column.key))
        for column in columns
        if column.name != SEED
    )
    return [each for each in found if len({*each.values.values()} - {None}) > 1]


def declared(root: SpaceNode) -> dict[str, Domain]:
    """Return the domain of each field in a space, by the key of its column, over all branches."""
    found: dict[str, list[Domain]] = {}
    for path, domain in _declared(root, ""):
        for key in keys_of(path):
            found.setdefault(key, []).append(domain)
    return {key: _together(domains) for key, domains in found.items()}


def _declared(node: SpaceNode, path: str) -> Iterator[tuple[str, Domain]]:
    match node:
        case Fixed(value) if value is None or isinstance(value, bool | int | float | str):
            yield path, Choice((value,))
        case Leaf():
            yield path, node.domain
        case Group():
            for name, child in node.fields.items():
                yield from _declared(child, f"{path}.{name}" if path else name)
        case Branches():
            for option in node.options.values():
                yield from _declared(option, path)


def _together(domains: list[Domain]) -> Domain:
    values = tuple(dict.fromkeys(value for each in domains if isinstance(each, Choice) for value in each.values))
    ranges = [each for each in domains if not isinstance(each, Choice)]
    if not ranges:
        return Choice(values)
    numbers: list[Any] = [value for value in values if _is_number(value)]
    low, high = min([*numbers, *(each.low for each in ranges)]), max([*numbers, *(each.high for each in ranges)])
    log = low > 0 and any(each.log for each in ranges)
    if all(isinstance(each, IntRange) for each in ranges):
        return IntRange(low, high, log)
    return FloatRange(low, high, log)


def scale_of(values: Iterable[Scalar], declared: Domain | None = None) -> Scale:
    """Return an axis for the values of all trials.

    Words, and few numbers that recur, become categories; other numbers become a range. Words are in the order of their
    declaration. A range has the ends and the scale (linear or logarithmic) of the declared one; without a declaration,
    these follow from the values.
    """
    counts = Counter(values)
    distinct = set(counts)
    listed = list(declared.values) if isinstance(declared, Choice) else []
    words = sorted(
        (value for value in distinct if not _is_number(value)),
        key=lambda v: (v is not None, listed.index(v) if v in listed else len(listed), str(v)),
    )
    numbers: list[Any] = sorted(value for value in distinct if _is_number(value))
    recur = len(numbers) == 1 or any(counts[number] > 1 for number in numbers)
    recur = recur and not isinstance(declared, FloatRange)
    if (len(numbers) <= FEW and recur) or set(words) - {None}:
        order = [*words, *numbers] if None in words else [*numbers, *words]
        places: dict[Scalar, float] = {value: float(place) for place, value in enumerate(order)}
        labels = [ABSENT if value is None and NONE in words else label(value) for value in order]
        return Scale(places, list(places.values()), labels, categorical=True)
    low, high = numbers[0], numbers[-1]
    log = low > 0 and high / low >= WIDE
    if isinstance(declared, IntRange | FloatRange):
        low, high = min(low, declared.low), max(high, declared.high)
        log = low > 0 and declared.log
    places = {value: math.log10(value) if log else float(value) for value in numbers}
    at, ticks = labelled(low, high, log=log)
    labels = [f"{tick:.4g}" for tick in ticks]
    if None in words:
        places[None] = at[0] - 0.12 * (at[-1] - at[0])
        at, labels = [places[None], *at], [NONE, *labels]
    return Scale(places, at, labels, categorical=False, log=log)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def labelled(low: float, high: float, *, log: bool = False) -> tuple[list[float], list[float]]:
    """Return the positions of an axis's ticks, and their numbers: both ends, and round numbers between."""
    place = math.log10 if log else float
    first, last = place(low), place(high)
    between = [(place(tick), tick) for tick in (log_ticks if log else even_ticks)(low, high)]
    gap = NEAR * (last - first)
    ticks = [(at, tick) for at, tick in between if first + gap < at < last - gap]
    ticks = [(first, low), *ticks, (last, high)]
    return [at for at, _ in ticks], [tick for _, tick in ticks]


def log_ticks(low: float, high: float) -> list[float]:
    """Return round numbers between two positive numbers."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)  # noqa: PLR2004 - ticks of more decades do not fit
    return [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]


def even_ticks(low: float, high: float) -> list[float]:
    """Return evenly spaced round numbers between two different numbers."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
