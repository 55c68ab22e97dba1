"""What every stopping rule is."""

from abc import ABC, abstractmethod

import optuna


class StoppingRule(ABC):
    """Decides after each epoch of a trial whether it is given up."""

    @abstractmethod
    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether to stop a trial now.

        Args:
            study: All trials, with the objective by epoch as intermediate values; `study.direction` is the goal.
            trial: The one that has just reported an epoch.
        """
