"""The parameters that differ between a sweep's trials, and where their values lie on an axis."""

import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from search_spaces.base import by_path
from search_spaces.domains import Scalar
from search_spaces.headline import headline
from tune_jobs.results.summary import Row

FEW = 8
"""So many different numbers, where trials share them, are places of their own on an axis."""

WIDE = 20
"""A range of positive numbers is logarithmic where its end is so many times its beginning."""

NONE = "none"
ABSENT = "not there"
"""Where `none` is a value, too."""

_SAID = {"lambda", "k", "r", "patch", "aggregation"}
"""Fields of a model that `headline` has already."""


SEED = "seed"
"""Nobody's choice: it tells how far chance goes, and is never better or worse."""


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


def varying(rows: list[Row]) -> list[Parameter]:
    """The paper's parameters, then all others, of which trials have different values.

    Of the others, one that a trial either has or has not, always with the same value, says no more than the field by
    which trials differ in that.
    """
    ours = {row.run_key: headline(row.config) for row in rows}
    others = {row.run_key: dict(_others(row)) for row in rows}
    return [
        *(found for found in _parameters(ours) if len(set(found.values.values())) > 1),
        *(found for found in _parameters(others) if len({*found.values.values()} - {None}) > 1),
    ]


def _parameters(flat: dict[str, dict[str, Scalar]]) -> list[Parameter]:
    paths = dict.fromkeys(path for values in flat.values() for path in values)
    names = unlike({path: _short(path) for path in paths})
    return [Parameter(names[path], {key: values.get(path) for key, values in flat.items()}) for path in paths]


def unlike(names: Mapping[str, str]) -> dict[str, str]:
    """A name by path; the path itself where several have the same name."""
    counts = Counter(names.values())
    return {path: name if counts[name] == 1 else path for path, name in names.items()}


def label(value: Scalar) -> str:
    """A value, short."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


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


def _others(row: Row) -> Iterator[tuple[str, Scalar]]:
    for path, value in by_path(row.config.model_dump(mode="json", by_alias=True)):
        said = path == "training.lr" or (path.startswith("model.") and path.rpartition(".")[2] in _SAID)
        if not said and path != "data.root":
            yield path, str(value) if isinstance(value, list) else value


def _short(path: str) -> str:
    for start in ("model.layer.", "model.attention.", "training."):
        if path.startswith(start):
            return path.removeprefix(start)
    return path
