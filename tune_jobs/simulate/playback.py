"""An objective that trains nothing: it reports the epochs of a recorded run for each task."""

import hashlib
import math
from collections.abc import Callable, Iterator
from typing import Literal

import numpy as np

from search_spaces import TrialConfig, run_key
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.table import STANDS_FOR, RecordedTable
from tune_jobs.worker.reports import EpochDone, Report, ResumedFrom
from tune_jobs.worker.task import Task

CostUnit = Literal["epochs", "seconds"]
RunOf = Callable[[TrialConfig], int]
"""Returns the number of the run that is used for a configuration."""


class Playback:
    """Reports the recorded objective and loss after each epoch, with the epoch's cost as its seconds."""

    def __init__(self, table: RecordedTable, metric: str, run_of: RunOf, cost: CostUnit = "epochs") -> None:
        """Report the runs of a table.

        Args:
            table: The recorded runs.
            metric: The objective of the search; see `RecordedTable.metric`.
            run_of: Returns the run that is used for a configuration.
            cost: The cost of an epoch: one unit, or its recorded seconds.
        """
        self.metric = metric
        self.run_of = run_of
        self._values = table.curves[table.metric(metric)]
        loss = metric.partition("/")[0] + "/loss"
        losses = table.curves.get(loss, table.curves.get(STANDS_FOR.get(loss, loss)))
        self._reported = {metric: self._values} | ({} if losses is None or loss == metric else {loss: losses})
        costs = table.seconds if cost == "seconds" else np.ones_like(self._values)
        assert costs is not None
        self._costs = np.nan_to_num(costs)

    def __call__(self, task: Task) -> Iterator[Report]:
        """Yield the reports of a worker; a diverged run ends with NaN."""
        number = self.run_of(task.config)
        reported: dict[str, list[float]] = {name: curves[number].tolist() for name, curves in self._reported.items()}
        costs: list[float] = self._costs[number].tolist()
        yield ResumedFrom(0, None, "recorded")
        for epoch in range(1, task.config.training.epochs + 1):
            if epoch > len(costs):
                yield EpochDone(epoch, {self.metric: math.nan})
                return
            metrics = {name: values[epoch - 1] for name, values in reported.items()}
            yield EpochDone(epoch, metrics | {"epoch_s": costs[epoch - 1]})

    def value(self, number: int, epoch: int) -> float:
        """Return the objective of a run after an epoch; NaN after it diverged."""
        epochs = self._values.shape[1]
        return float(self._values[number, epoch - 1]) if epoch <= epochs else math.nan

    def cost(self, number: int, after: int, until: int) -> float:
        """Return the cost of a run's epochs after `after` up to `until`."""
        return float(sum(self._costs[number, after:until].tolist()))


def by_number(config: TrialConfig) -> int:
    """Return the run that a configuration of a table represents."""
    return config.training.seed


def one_of(runs: Runs, repeat: int) -> RunOf:
    """Choose one of the matching runs, the same one for every rule in a repeat."""

    def run_of(config: TrialConfig) -> int:
        found = runs.of(config)
        text = f"{repeat}:{run_key(config)}".encode()
        return found[int.from_bytes(hashlib.sha256(text).digest()[:4], "big") % len(found)]

    return run_of
