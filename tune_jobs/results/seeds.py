"""Configurations that ran with several seeds: the mean says how good one is, the spread how far chance goes."""

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import fmean, stdev
from typing import Literal

from search_spaces import config_key
from tune_jobs.results.summary import Row


@dataclass(frozen=True)
class Repeats:
    """The complete trials of one configuration, which differ in their seeds alone; the best first."""

    rows: list[Row]

    @property
    def values(self) -> list[float]:
        """The objective with each seed."""
        return [row.value for row in self.rows if row.value is not None]

    @property
    def mean(self) -> float:
        """Their mean."""
        return fmean(self.values)

    @property
    def spread(self) -> float:
        """Their standard deviation, of a sample."""
        return stdev(self.values)


def repeats(rows: Iterable[Row], goal: Literal["maximize", "minimize"]) -> list[Repeats]:
    """Every configuration of which trials with several seeds are complete, the best mean first."""
    groups: dict[str, dict[int, Row]] = {}
    for row in rows:
        if row.counts and row.state == "complete":
            seeds = groups.setdefault(config_key(row.config), {})
            seeds.setdefault(row.config.training.seed, row)  # the same run may be recorded under two keys
    found = [Repeats(list(group.values())) for group in groups.values() if len(group) > 1]
    return sorted(found, key=lambda group: group.mean, reverse=goal == "maximize")
