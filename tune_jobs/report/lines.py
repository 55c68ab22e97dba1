"""Learning curves by configuration: the curve of one trial, or the mean over several seeds with their range."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from typing import TypeVar

import numpy as np

from tune_jobs.report.epochs import Array, Curve, Whole
from tune_jobs.results.row import Row

Item = TypeVar("Item")


@dataclass(frozen=True)
class Line:
    """The curve of a configuration."""

    rows: list[Row]
    """Its trials, the best first; if there are several, the curve is their mean."""

    curve: Curve
    low: Array
    """The lowest value of the trials at each epoch; `high` is the highest."""

    high: Array

    @property
    def several(self) -> bool:
        """Whether the curve is a mean over seeds."""
        return len(self.rows) > 1

    def thinned(self, most: int) -> "Line":
        """Return the line with at most `most` points, including the first and the last."""
        if len(self.curve) <= most:
            return self
        kept = places(len(self.curve), most)
        curve = Curve(self.curve.epochs[kept], self.curve.values[kept])
        return Line(self.rows, curve, self.low[kept], self.high[kept])


def lines_of(rows: Iterable[Row], curves: Mapping[str, Curve]) -> list[Line]:
    """Return a line for each configuration that has a value, in the order of `rows`.

    Trials that differ only in their seeds are one configuration. Seeds that ended earlier than the longest one are left
    out, because the mean would jump where they end.
    """
    groups: dict[str, dict[int, tuple[Row, Curve]]] = {}
    for row in rows:
        if (curve := _finite(curves.get(row.run_key))) is not None:
            seeds = groups.setdefault(row.config_key, {})
            seeds.setdefault(row.config.training.seed, (row, curve))  # the same run may be recorded under two keys
    return [_line(list(seeds.values())) for seeds in groups.values()]


def spread_of(lines: Sequence[Line], most: int, quantiles: Sequence[float]) -> tuple[Whole, Array]:
    """Return quantiles over the lines that reached each epoch, for at most `most` epochs."""
    epochs = np.concatenate([line.curve.epochs for line in lines])
    values = np.concatenate([line.curve.values for line in lines])
    order = np.argsort(epochs, kind="stable")
    at, begins = np.unique(epochs[order], return_index=True)
    parts = np.split(values[order], begins[1:])
    kept = places(len(at), most)
    return at[kept], np.array([np.quantile(parts[place], quantiles) for place in kept]).T


def places(count: int, most: int) -> Whole:
    """Return up to `most` evenly spaced indices of a sequence, including the first and the last."""
    return np.linspace(0, count - 1, min(most, count)).round().astype(int)


def evenly(items: Sequence[Item], most: int) -> list[Item]:
    """Return up to `most` evenly spaced items, including the first and the last."""
    return [items[place] for place in places(len(items), most)]


def _finite(curve: Curve | None) -> Curve | None:
    if curve is None:
        return None
    there = np.isfinite(curve.values)
    return Curve(curve.epochs[there], curve.values[there]) if there.any() else None


def _line(group: list[tuple[Row, Curve]]) -> Line:
    last = max(curve.epochs[-1] for _, curve in group)
    longest = [(row, curve) for row, curve in group if curve.epochs[-1] == last]
    epochs: Whole = reduce(np.intersect1d, (curve.epochs for _, curve in longest))
    values = np.array([curve.values[np.isin(curve.epochs, epochs)] for _, curve in longest])
    return Line([row for row, _ in longest], Curve(epochs, values.mean(axis=0)), values.min(axis=0), values.max(axis=0))
