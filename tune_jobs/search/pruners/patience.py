"""Patience: stop a trial whose own metric no longer improves."""

import math

import optuna

from search_spaces import Space
from search_spaces.settings import Patience
from tune_jobs.search.pruners.base import StoppingRule, score


class NoImprovement(StoppingRule):
    """Counts the epochs since the last improvement.

    Optuna's PatientPruner is a different rule: its `min_delta` is how much worse a trial may become.
    """

    def __init__(self, settings: Patience, space: Space) -> None:
        del space
        self._patience_epochs = settings.patience_epochs
        self._min_delta = settings.min_delta

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether none of the last epochs beats the best epoch before them by more than `min_delta`."""
        best, without = -math.inf, 0
        for number, (_, value) in enumerate(sorted(trial.intermediate_values.items())):
            now = score(study, value)
            if number == 0 or now > best + self._min_delta:
                best, without = now, 0
            else:
                without += 1
        return without >= self._patience_epochs
