"""Asynchronous successive halving on scores: `asha` uses one instance, `hyperband` several.

The decisions are those of Optuna's SuccessiveHalvingPruner, which scans all trials of the study at each rung and needed
20 s to replay 5,000 trials. This one finds each score's rank by binary search.
"""

import bisect
import math

import optuna

from tune_jobs.search.pruners.base import score


class Halving:
    """Rungs at `first` epochs, `first * factor`, `first * factor**2`, and so on."""

    def __init__(self, first: int, factor: int) -> None:
        self._first = first
        self._factor = factor
        self._rungs: list[list[float]] = []  # the scores at each rung, worst first
        self._passed: dict[int, int] = {}  # number of rungs, by trial number

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial has reached its next rung and is not among the best 1/factor there so far."""
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
