"""The configurations that plots compare, each by the mean over its seeds."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from statistics import fmean
from typing import Any, Literal, TypeVar

from tune_jobs.report import theme
from tune_jobs.report.lines import evenly
from tune_jobs.results.columns import Column, named
from tune_jobs.results.row import Row
from tune_jobs.results.summary import Summary

DRAWN = 1000
"""Maximum number of points in a plot; beyond it, the best half of this number and evenly chosen others are drawn."""

_SEED = "training.seed"

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """A configuration: its complete trials, or one trial that ended early."""

    rows: list[Row]
    value: float
    """The mean of complete trials, or the last value of a trial that ended early."""

    kind: Literal["complete", "fewer", "early"]
    """`fewer`: complete, but with a different number of seeds than most, so that the means are not comparable."""

    @property
    def trials(self) -> str:
        """The trials' numbers: `trial 3`, or `trials 3, 4, 5`."""
        numbers = ", ".join(map(str, sorted(row.number for row in self.rows)))
        return f"{'trial' if len(self.rows) == 1 else 'trials'} {numbers}"

    def about(self, columns: Iterable[Column]) -> str:
        """Describe the trials and the fields that differ between configurations."""
        shown = [column for column in columns if column.key != _SEED or len(self.rows) == 1]
        return f"{self.trials}: {', '.join(named(self.rows[0].fields, shown))}"


@dataclass(frozen=True)
class Points:
    """All points of a sweep, by kind, the best first."""

    complete: list[Point]
    fewer: list[Point]
    early: list[Point]
    seeds: int
    """Number of seeds of each complete point."""

    @property
    def everything(self) -> list[Point]:
        """Points of every kind, comparable ones first."""
        return [*self.complete, *self.fewer, *self.early]

    @property
    def note(self) -> str:
        """Explains the circles."""
        parts = []
        if self.seeds > 1:
            parts.append(f"Filled circles are means over {self.seeds} seeds.")
        if self.fewer:
            parts.append(f"{len(self.fewer)} with a different number of seeds are grey and not comparable.")
        if self.early:
            parts.append(
                f"Hollow circles ({len(self.early)}) are the last epochs of trials that did not run to the end."
            )
        parts += [
            f"Of {len(of):,} {name} circles, the best {DRAWN // 2} and the same number of others are drawn."
            for name, of in (("complete", self.complete), ("hollow", self.early))
            if len(of) > DRAWN
        ]
        return " ".join(parts)


def points_of(found: Summary) -> Points:
    """Return the configurations whose values may be shown."""
    groups: dict[str, list[Row]] = {}
    for row in found.rows:
        if row.counts:
            groups.setdefault(row.config_key, []).append(row)
    complete, early = [], []
    for rows in groups.values():
        by_seed = {row.config.training.seed: row for row in reversed(rows) if row.state == "complete"}
        if by_seed:
            complete.append(list(by_seed.values())[::-1])
        else:
            early += [Point([row], row.value, "early") for row in rows if row.value is not None]
    seeds = _most_common([len(rows) for rows in complete])
    means = [(rows, fmean(row.value for row in rows if row.value is not None)) for rows in complete]
    means.sort(key=lambda each: each[1], reverse=found.goal == "maximize")
    return Points(
        [Point(rows, mean, "complete") for rows, mean in means if len(rows) == seeds],
        [Point(rows, mean, "fewer") for rows, mean in means if len(rows) != seeds],
        early,
        seeds,
    )


def groups_of(points: Points) -> Iterator[tuple[str, list[Point], dict[str, Any]]]:
    """Yield the name, points and marker of each kind; comparable points last, so that they are on top."""
    groups = (
        ("not run to the end", thinned(points.early), theme.EARLY),
        ("different number of seeds", thinned(points.fewer), theme.FEWER),
        ("complete", thinned(points.complete), theme.COMPLETE),
    )
    return (group for group in groups if group[1])


def thinned(of: list[T]) -> list[T]:
    """Return at most `DRAWN` items: the best half of that number, and others evenly chosen."""
    return of[: DRAWN // 2] + evenly(of[DRAWN // 2 :], DRAWN // 2)


def _most_common(counts: list[int]) -> int:
    """Return the most common number; ties go to the largest."""
    found = Counter(counts)
    return max(found, key=lambda number: (found[number], number), default=1)
