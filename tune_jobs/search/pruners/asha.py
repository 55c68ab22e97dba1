"""Asynchronous successive halving (ASHA): at each rung of epochs, only the best 1/reduction_factor continue."""

import optuna

from search_spaces import Space
from search_spaces.settings import Asha
from tune_jobs.search.pruners.base import StoppingRule


class SuccessiveHalving(StoppingRule):
    """Optuna's pruner, which keeps the rungs of a trial in the study."""

    def __init__(self, settings: Asha, space: Space) -> None:
        del space
        self._pruner = optuna.pruners.SuccessiveHalvingPruner(
            min_resource=settings.grace_epochs, reduction_factor=settings.reduction_factor
        )

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial is not among the best of its rung."""
        return self._pruner.prune(study, trial)
