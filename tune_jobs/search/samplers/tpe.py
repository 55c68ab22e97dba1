"""Tree-structured Parzen estimators: multivariate, and grouped by branch."""

import math
import warnings
from collections.abc import Callable, Sequence
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from search_spaces import Choice, Domain, IntRange, Space
from search_spaces.domains import Scalar
from search_spaces.settings import Tpe
from tune_jobs.search.samplers.base import Point, Sampler

STARTUP_TRIALS = 10
"""Number of random trials at the start, or a third of the search's trials if that is less."""

RANDOM_TRIES, TPE_TRIES = 100, 3
"""Most draws per ask; the first feasible one is used. A TPE draw takes 50 times as long as a random one."""


class TpeSampler(Sampler):
    """Draws near good trials, and away from infeasible configurations."""

    def __init__(self, settings: Tpe, space: Space) -> None:
        self._space = space
        self._startup_trials = min(STARTUP_TRIALS, math.ceil(settings.trials / 3))
        self._has_learnt = False

    def decide(self, number: int, seed: int) -> optuna.samplers.BaseSampler:
        """Return Optuna's TPE sampler, or random draws at the start."""
        del number
        return _Runnable(self._space, seed, self._is_begun)

    def _is_begun(self, study: optuna.Study) -> bool:
        """Whether enough trials have ended for TPE to learn from them; infeasible draws do not count."""
        if not self._has_learnt:
            ended = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE, TrialState.PRUNED))
            valid = sum(not any(value > 0 for value in trial.constraints.values()) for trial in ended)
            self._has_learnt = valid >= self._startup_trials
        return self._has_learnt


class _Runnable(optuna.samplers.BaseSampler):
    """Draws at random or with TPE, and repeats an infeasible draw a limited number of times.

    Infeasible draws are dropped. Only if none is feasible, the last draw becomes the ask, and TPE learns from it.
    """

    def __init__(self, space: Space, seed: int, is_begun: Callable[[optuna.Study], bool]) -> None:
        self._space = space
        self._is_begun = is_begun
        self._point: Point = {}
        self._random = optuna.samplers.RandomSampler(seed=seed)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            self._tpe = optuna.samplers.TPESampler(
                multivariate=True, group=True, constant_liar=True, n_startup_trials=1, seed=seed
            )
        self._now: optuna.samplers.BaseSampler = self._random

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        self._now = self._tpe if self._is_begun(study) else self._random
        return self._now.infer_relative_search_space(study, trial)

    def sample_relative(
        self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]
    ) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for _ in range(TPE_TRIES if self._now is self._tpe else RANDOM_TRIES):
            found = self._now.sample_relative(study, trial, search_space)
            whole = _Completed(self._now, study, trial, found)
            config = self._space.resolve(whole)
            self._point = whole.point
            if next(self._space.infeasibilities(config), None) is None:
                break
        return found

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution
    ) -> Any:  # noqa: ANN401 - Optuna's own type
        del study, trial, param_distribution
        return self._point[param_name]

    def after_trial(
        self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None
    ) -> None:
        self._now.after_trial(study, trial, state, values)


class _Completed:
    """Uses the fields that were drawn together, and draws each other field independently, as a trial would."""

    def __init__(
        self, sampler: optuna.samplers.BaseSampler, study: optuna.Study, trial: FrozenTrial, drawn: dict[str, Any]
    ) -> None:
        self._sampler, self._study, self._trial, self._drawn = sampler, study, trial, drawn
        self.point: Point = {}

    def choose(self, path: str, domain: Domain) -> Scalar:
        if path not in self.point:
            self.point[path] = self._drawn[path] if path in self._drawn else self._one(path, domain)
        return self.point[path]

    def _one(self, path: str, domain: Domain) -> Scalar:
        distribution = _distribution(domain)
        if distribution.single():
            return domain.examples()[0]
        found: Scalar = self._sampler.sample_independent(self._study, self._trial, path, distribution)
        return found


def _distribution(domain: Domain) -> BaseDistribution:
    if isinstance(domain, Choice):
        return CategoricalDistribution(domain.values)
    if isinstance(domain, IntRange):
        return IntDistribution(domain.low, domain.high, log=domain.log, step=domain.step)
    return FloatDistribution(domain.low, domain.high, log=domain.log)
