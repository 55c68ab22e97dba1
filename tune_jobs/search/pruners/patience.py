"""Patience: a trial stops whose own metric no longer improves."""

import math

import optuna

from search_spaces import Space
from search_spaces.settings import Patience
from tune_jobs.search.pruners.base import StoppingRule, score


class NoImprovement(StoppingRule):
    """Counts the epochs since the last improvement.

    Optuna's PatientPruner is another rule: its `min_delta` is by how much a trial may become worse.
    """

    def __init__(self, settings: Patience, space: Space) -> None:
        del space
        self._patience_epochs = settings.patience_epochs
        self._min_delta = settings.min_delta

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether none of the last epochs is better than the best one before by more than `min_delta`."""
        best, without = -math.inf, 0
        for number, (_, value) in enumerate(sorted(trial.intermediate_values.items())):
            now = score(study, value)
            if number == 0 or now > best + self._min_delta:
                best, without = now, 0
            else:
                without += 1
        return without >= self._patience_epochs
