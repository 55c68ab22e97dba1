"""Tree-structured Parzen estimators: multivariate, and grouped by branch."""

import math
import warnings
from collections.abc import Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Space
from search_spaces.settings import Tpe
from tune_jobs.search.samplers.base import Sampler

STARTUP_TRIALS = 10
"""Random first draws, or a third of the search's trials if that is fewer."""


class TpeSampler(Sampler):
    """Draws where good trials were, and away from what cannot run."""

    def __init__(self, settings: Tpe, space: Space) -> None:
        del space
        self._startup_trials = min(STARTUP_TRIALS, math.ceil(settings.trials / 3))

    def decide(self, number: int, seed: int) -> optuna.samplers.BaseSampler:
        """Optuna's own, after a random start."""
        del number
        return _AfterStart(self._startup_trials, seed)


class _AfterStart(optuna.samplers.BaseSampler):
    """Random draws, until as many trials have ended as there were valid ones among the first draws.

    Optuna's own start counts infeasible draws as trials: with several workers it would be over before any trial has
    ended, and the infeasible draws would be the best that it knows. Here at least one trial has to have ended.
    """

    def __init__(self, startup_trials: int, seed: int) -> None:
        self._startup_trials = startup_trials
        self._random = optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._tpe = optuna.samplers.TPESampler(
                multivariate=True, group=True, constant_liar=True, n_startup_trials=1, seed=seed
            )
        self._now: optuna.samplers.BaseSampler = self._random

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        drawn = [each for each in study.get_trials(deepcopy=False) if each.number != trial.number]
        valid = [each for each in drawn if not any(value > 0 for value in each.constraints.values())]
        ended = sum(each.state in (TrialState.COMPLETE, TrialState.PRUNED) for each in valid)
        needed = math.ceil(self._startup_trials * len(valid) / max(1, len(drawn)))
        self._now = self._tpe if ended >= max(1, needed) else self._random
        return self._now.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        return self._now.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - Optuna's own type
        return self._now.sample_independent(study, trial, param_name, param_distribution)

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._now.after_trial(study, trial, state, values)
