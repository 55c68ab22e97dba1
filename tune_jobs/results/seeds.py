"""Configurations that ran with several seeds: the mean shows their quality, the spread the size of chance effects."""

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean, stdev
from typing import Literal

from tune_jobs.record.rows import ENDED
from tune_jobs.results.row import Row
from tune_jobs.results.words import shown


@dataclass(frozen=True)
class Repeats:
    """The complete trials of one configuration, which differ only in their seeds; the best first."""

    rows: list[Row]

    @property
    def values(self) -> list[float]:
        """The objective with each seed."""
        return [row.value for row in self.rows if row.value is not None]

    @property
    def mean(self) -> float:
        """The mean of these values."""
        return fmean(self.values)

    @property
    def spread(self) -> float:
        """The sample standard deviation of these values."""
        return stdev(self.values)


@dataclass(frozen=True)
class Configuration:
    """The trials of one configuration as `search.repeats` asks for them, the best first; some may not have started."""

    rows: list[Row]
    seeds: int
    """Number of seeds that it should have."""

    @cached_property
    def complete(self) -> Repeats:
        """Its complete trials, among the seeds that it should have."""
        rows = [row for row in self.rows if row.repeat < self.seeds]
        return Repeats([row for row in rows if row.counts and row.state == "complete"])

    @property
    def first(self) -> Row:
        """The trial that was started first."""
        return min(self.rows, key=lambda row: row.number)

    @property
    def whole(self) -> bool:
        """Whether it is complete with every seed, so that its mean may be compared with other means."""
        return len(self.complete.rows) == self.seeds

    @property
    def to_begin(self) -> int:
        """Number of its seeds that are not yet started."""
        first = self.first
        if first.repeat or first.state != "complete" or not first.counts:
            return 0
        return self.seeds - sum(row.repeat < self.seeds for row in self.rows)

    @property
    def ended(self) -> bool:
        """Whether no trial of it is running or pending."""
        return not self.to_begin and all(row.state in ENDED or row.excluded is not None for row in self.rows)

    @property
    def state(self) -> str:
        """Its state, as for a trial: `complete` if every seed is, otherwise the state of a seed that is not."""
        states = [row.state for row in self.rows if row.excluded is None]
        if self.whole:
            return "complete"
        if self.to_begin:
            states.append("waiting")
        found = (
            each for each in ("running", "interrupted", "waiting", "diverged", "failed", "stopped") if each in states
        )
        return next(found, "complete")

    def of_seeds(self) -> str:
        """Return how many seeds are complete: `3`, or `2 of 3`."""
        there = len(self.complete.rows)
        return str(there) if self.whole else f"{there} of {self.seeds}"

    def said(self, metric: str) -> str:
        """Return its value as text: `mean 80.91%, sd 0.40%, 3 seeds`."""
        complete = self.complete
        if not complete.rows:
            return shown(self.rows[0].value, metric)
        several = len(complete.rows) > 1
        value = shown(complete.mean, metric)
        parts = [f"mean {value}, sd {shown(complete.spread, metric)}" if several else value]
        return ", ".join([*parts, f"{self.of_seeds()} seeds"] if self.seeds > 1 else parts)


def configurations(rows: Iterable[Row], seeds: int) -> list[Configuration]:
    """Group trials by configuration, in the order of their first rows."""
    groups: dict[str, list[Row]] = {}
    for row in rows:
        groups.setdefault(row.repeat_of or row.run_key, []).append(row)
    return [Configuration(group, seeds) for group in groups.values()]


def repeats(rows: Iterable[Row], goal: Literal["maximize", "minimize"]) -> list[Repeats]:
    """Return every configuration with complete trials of several seeds, the best mean first."""
    groups: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.counts and row.state == "complete":
            seeds = groups.setdefault(row.config_key, {})
            seeds.setdefault(row.config.training.seed, row)  # the same run may be recorded under two keys
    found = [Repeats(list(group.values())) for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: group.mean, reverse=goal == "maximize")
