"""The median rule: stop a trial that is worse than half of the complete trials were at the same epoch."""

import math
import statistics

import optuna
from optuna.trial import TrialState

from search_spaces import Space
from search_spaces.settings import Median
from tune_jobs.search.pruners.base import StoppingRule, score


class BelowMedian(StoppingRule):
    """Like Optuna's MedianPruner, but without its goal-dependent rounding and its warnings about NaN and infinity."""

    def __init__(self, settings: Median, space: Space) -> None:
        del space
        self._grace_epochs = settings.grace_epochs
        self._startup_trials = settings.startup_trials

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial's best epoch so far is below the median."""
        epoch = trial.last_step
        if epoch is None or epoch < self._grace_epochs:
            return False
        complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
        if len(complete) < self._startup_trials:
            return False
        values = trial.intermediate_values.values()
        if all(map(math.isnan, values)):
            return True
        then = [other.intermediate_values[epoch] for other in complete if epoch in other.intermediate_values]
        scores = [score(study, value) for value in then if not math.isnan(value)]
        return bool(scores) and max(score(study, value) for value in values) < statistics.median(scores)
