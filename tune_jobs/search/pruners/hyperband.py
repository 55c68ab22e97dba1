"""Hyperband: successive halving in brackets, of which some look early at trials and others late."""

import optuna

from search_spaces import Space
from search_spaces.settings import Hyperband
from search_spaces.trial import Training
from tune_jobs.search.pruners.base import StoppingRule


class BracketedHalving(StoppingRule):
    """Optuna's own. A trial's bracket follows from the study's name and the trial's number."""

    def __init__(self, settings: Hyperband, space: Space) -> None:
        self._pruner = optuna.pruners.HyperbandPruner(
            min_resource=settings.grace_epochs,
            max_resource=int(max(space.values("training.epochs", Training().epochs))),
            reduction_factor=settings.reduction_factor,
        )

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial is not among the best of its bracket's rung."""
        return self._pruner.prune(study, trial)
