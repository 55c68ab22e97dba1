"""Tree-structured Parzen estimators: multivariate, and grouped by branch."""

import math
import warnings

import optuna

from search_spaces import Space
from search_spaces.settings import Tpe
from tune_jobs.search.samplers.base import Sampler

STARTUP_TRIALS = 10
"""Random first trials, or a third of the search's if that is fewer."""


class TpeSampler(Sampler):
    """Draws where good trials were."""

    def __init__(self, settings: Tpe, space: Space) -> None:
        del space
        self._startup_trials = min(STARTUP_TRIALS, math.ceil(settings.trials / 3))

    def decide(self, number: int, seed: int) -> optuna.samplers.BaseSampler:
        """Optuna's own."""
        del number
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            return optuna.samplers.TPESampler(
                multivariate=True,
                group=True,
                constant_liar=True,
                n_startup_trials=self._startup_trials,
                seed=seed,
            )
