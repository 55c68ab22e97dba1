"""Hyperband: successive halving in brackets; some brackets judge trials early, others late."""

import optuna

from search_spaces import Space
from search_spaces.settings import Hyperband
from search_spaces.trial import Training
from tune_jobs.search.pruners.base import StoppingRule


class BracketedHalving(StoppingRule):
    """Optuna's pruner. A trial's bracket depends on the study's name and the trial's number."""

    def __init__(self, settings: Hyperband, space: Space) -> None:
        self._pruner = optuna.pruners.HyperbandPruner(
            min_resource=settings.grace_epochs,
            max_resource=int(max(space.values("training.epochs", Training().epochs))),
            reduction_factor=settings.reduction_factor,
        )

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial is not among the best of its bracket's rung."""
        return self._pruner.prune(study, trial)
