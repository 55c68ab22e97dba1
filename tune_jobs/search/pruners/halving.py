"""Asynchronous successive halving on numbers alone: `asha` is one of these, `hyperband` several.

Decides as Optuna's SuccessiveHalvingPruner does, which at each rung looks through all trials of the study: replaying
5,000 trials took it 20 s, and takes this a moment.
"""

import bisect
import math

import optuna

from tune_jobs.search.pruners.base import score


class Halving:
    """Rungs at `first` epochs, `factor` times as many, and so on."""

    def __init__(self, first: int, factor: int) -> None:
        self._first = first
        self._factor = factor
        self._rungs: list[list[float]] = []  # the scores that came to each, the worst first
        self._passed: dict[int, int] = {}  # rungs, by the number of the trial

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether a trial that has come to its next rung is not among the best 1/factor there so far."""
        epoch = trial.last_step
        while epoch is not None and epoch >= self._first * self._factor ** self._passed.get(trial.number, 0):
            value = trial.intermediate_values[epoch]
            if math.isnan(value):
                return True
            own, rung = score(study, value), self._passed.get(trial.number, 0)
            self._passed[trial.number] = rung + 1
            if rung == len(self._rungs):
                self._rungs.append([])
            bisect.insort(self._rungs[rung], own)
            if own < self._rungs[rung][-max(1, len(self._rungs[rung]) // self._factor)]:
                return True
        return False
