"""What differs between a sweep's trials, with its values, and where these lie on an axis."""

import math
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from search_spaces.domains import Scalar
from tune_jobs.results.columns import NONE, differing, label
from tune_jobs.results.row import Row

FEW = 8
"""So many different numbers, where trials share them, are places of their own on an axis."""

WIDE = 20
"""A range of positive numbers is logarithmic where its end is so many times its beginning."""

ABSENT = "not there"
"""Where `none` is a value, too."""


@dataclass(frozen=True)
class Parameter:
    """What a parameter is in each trial, by run key; `None` where a trial has none."""

    name: str
    values: dict[str, Scalar]


@dataclass(frozen=True)
class Scale:
    """An axis: where each value lies, and what is written where."""

    places: dict[Scalar, float]
    ticks: list[float]
    labels: list[str]
    categorical: bool

    @property
    def range(self) -> list[float]:
        """From end to end, with a margin."""
        low, high = min(self.places.values()), max(self.places.values())
        margin = 0.5 if self.categorical else 0.04 * (high - low)
        return [low - margin, high + margin]


def parameters(rows: list[Row]) -> list[Parameter]:
    """The fields in which trials differ, with their values."""
    return [
        Parameter(column.name, {row.run_key: row.fields.get(column.key) for row in rows})
        for column in differing([row.fields for row in rows])
    ]


def scale_of(values: Iterable[Scalar]) -> Scale:
    """An axis for the values of all trials: places of their own for words and few numbers that recur, else a range."""
    counts = Counter(values)
    distinct = set(counts)
    words = sorted((value for value in distinct if not _is_number(value)), key=lambda v: (v is not None, str(v)))
    numbers: list[Any] = sorted(value for value in distinct if _is_number(value))
    recur = len(numbers) == 1 or any(counts[number] > 1 for number in numbers)
    if (len(numbers) <= FEW and recur) or set(words) - {None}:
        order = [*words, *numbers] if None in words else [*numbers, *words]
        places: dict[Scalar, float] = {value: float(place) for place, value in enumerate(order)}
        labels = [ABSENT if value is None and NONE in words else label(value) for value in order]
        return Scale(places, list(places.values()), labels, categorical=True)
    low, high = numbers[0], numbers[-1]
    log = low > 0 and high / low >= WIDE
    places = {value: math.log10(value) if log else float(value) for value in numbers}
    ticks = log_ticks(low, high) if log else even_ticks(low, high)
    at = [math.log10(tick) if log else tick for tick in ticks]
    labels = [f"{tick:.4g}" for tick in ticks]
    if None in words:
        places[None] = places[low] - 0.12 * (places[high] - places[low])
        at, labels = [places[None], *at], [NONE, *labels]
    return Scale(places, at, labels, categorical=False)


def _is_number(value: Scalar) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def log_ticks(low: float, high: float) -> list[float]:
    """Round numbers between two positive ones."""
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    steps = (1, 2, 5) if len(decades) <= 4 else (1,)  # noqa: PLR2004 - decades whose ticks still fit
    return [tick for decade in decades for step in steps if low <= (tick := step * 10.0**decade) <= high]


def even_ticks(low: float, high: float) -> list[float]:
    """Round numbers, evenly spaced, between two that differ."""
    rough = (high - low) / 5
    unit = 10.0 ** math.floor(math.log10(rough))
    step = next(unit * factor for factor in (1, 2, 5, 10) if unit * factor >= rough)
    return [step * i for i in range(math.ceil(low / step), math.floor(high / step) + 1)]
