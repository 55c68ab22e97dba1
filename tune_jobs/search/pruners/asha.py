"""Asynchronous successive halving (ASHA): at each rung of epochs, only the best 1/reduction_factor continue."""

import optuna

from search_spaces import Space
from search_spaces.settings import Asha
from tune_jobs.search.pruners.base import StoppingRule
from tune_jobs.search.pruners.halving import Halving


class SuccessiveHalving(StoppingRule):
    """Successive halving with the first rung at `grace_epochs`."""

    def __init__(self, settings: Asha, space: Space) -> None:
        del space
        self._halving = Halving(settings.grace_epochs, settings.reduction_factor)

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial is not among the best of its rung."""
        return self._halving.stops(study, trial)
