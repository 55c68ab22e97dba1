"""What plots compare: configurations, each by the mean over its seeds."""

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
"""Points of a plot; of more the best half of so many, and others evenly down the leaderboard."""

_SEED = "training.seed"

T = TypeVar("T")


@dataclass(frozen=True)
class Point:
    """A configuration: its complete trials, or one that did not run to the end."""

    rows: list[Row]
    value: float
    """Their mean; of a trial that did not run to the end the last value."""

    kind: Literal["complete", "fewer", "early"]
    """`fewer`: complete with another number of seeds than most, so that its mean is not to be compared with theirs."""

    @property
    def trials(self) -> str:
        """By their numbers: `trial 3`, or `trials 3, 4, 5`."""
        numbers = ", ".join(map(str, sorted(row.number for row in self.rows)))
        return f"{'trial' if len(self.rows) == 1 else 'trials'} {numbers}"

    def about(self, columns: Iterable[Column]) -> str:
        """Its trials, and what differs between configurations."""
        shown = [column for column in columns if column.key != _SEED or len(self.rows) == 1]
        return f"{self.trials}: {', '.join(named(self.rows[0].fields, shown))}"


@dataclass(frozen=True)
class Points:
    """All of a sweep, by kind, the best first."""

    complete: list[Point]
    fewer: list[Point]
    early: list[Point]
    seeds: int
    """Of each complete one."""

    @property
    def everything(self) -> list[Point]:
        """Of every kind, those that may be compared first."""
        return [*self.complete, *self.fewer, *self.early]

    @property
    def note(self) -> str:
        """What the circles are."""
        parts = []
        if self.seeds > 1:
            parts.append(f"Full circles are means over {self.seeds} seeds.")
        if self.fewer:
            parts.append(f"{len(self.fewer)} with another number of seeds are grey, and not compared with them.")
        if self.early:
            parts.append(
                f"{len(self.early)} hollow ones did not run to the end, and have the value of their last epoch."
            )
        parts += [
            f"Of {len(of):,} {name} the best {DRAWN // 2} and as many others are drawn."
            for name, of in (("complete", self.complete), ("hollow", self.early))
            if len(of) > DRAWN
        ]
        return " ".join(parts)


def points_of(found: Summary) -> Points:
    """The configurations whose values may be shown."""
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
    """What a plot draws under one name with one kind of circle; those that may be compared last, on top."""
    groups = (
        ("not run to the end", thinned(points.early), theme.EARLY),
        ("another number of seeds", thinned(points.fewer), theme.FEWER),
        ("complete", thinned(points.complete), theme.COMPLETE),
    )
    return (group for group in groups if group[1])


def thinned(of: list[T]) -> list[T]:
    """No more than `DRAWN`: the best half of so many, and others evenly down the list."""
    return of[: DRAWN // 2] + evenly(of[DRAWN // 2 :], DRAWN // 2)


def _most_common(counts: list[int]) -> int:
    """The number that most have; of several the largest."""
    found = Counter(counts)
    return max(found, key=lambda number: (found[number], number), default=1)
