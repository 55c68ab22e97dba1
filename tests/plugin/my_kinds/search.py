"""The sampler and the stopping rule. The driver loads this module, so it must not import torch."""

import math
import random

import optuna
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Space
from tune_jobs.search.pruners.base import StoppingRule, score
from tune_jobs.search.samplers.base import Point, Sampler

from .settings import BehindBest, Shuffled


class ShuffledSampler(Sampler):
    """Propose all points in random order."""

    goes_through_all = True

    def __init__(self, settings: Shuffled, space: Space) -> None:
        self._points = list(space.points())
        random.Random(settings.seed).shuffle(self._points)

    def decide(self, number: int, seed: int) -> Point | None:
        """Return the point with this number."""
        del seed
        return self._points[number] if number < len(self._points) else None


class BehindBestRule(StoppingRule):
    """Compare a trial with the best complete trial."""

    def __init__(self, settings: BehindBest, space: Space) -> None:
        del space
        self._margin, self._grace_epochs = settings.margin, settings.grace_epochs

    def stops(self, study: optuna.Study, trial: FrozenTrial) -> bool:
        """Return whether the latest value is worse than the best value at this epoch by more than the margin."""
        epoch = trial.last_step
        if epoch is None or epoch < self._grace_epochs:
            return False
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        then = [score(study, each.intermediate_values[epoch]) for each in complete if epoch in each.intermediate_values]
        return score(study, trial.intermediate_values[epoch]) < max(then, default=-math.inf) - self._margin
