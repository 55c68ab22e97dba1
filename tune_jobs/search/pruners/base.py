"""The base class of stopping rules."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import optuna
from optuna.study import StudyDirection


class StoppingRule(ABC):
    """Decides after each epoch of a trial whether to stop it.

    A rule keeps no state that the ledger cannot restore: a rebuilt search sees the same events in the same order.
    """

    def sees(  # noqa: B027 - most rules do nothing
        self, number: int, epoch: int, metrics: Mapping[str, float]
    ) -> None:
        """Receive all metrics of a trial's epoch, just before `stops` is called; most rules ignore them.

        Args:
            number: The number of Optuna's trial.
            epoch: Counts from 1.
            metrics: The objective and all other metrics, by name.
        """

    @abstractmethod
    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether to stop a trial now; the answer after the last epoch is ignored.

        Args:
            study: All trials, each once, with the objective at each epoch as intermediate values. Infeasible draws and
                the values of excluded trials are left out. `study.direction` is the goal, and `study.study_name` is the
                same whenever the search is rebuilt.
            trial: The trial that has just reported an epoch.
        """


def score(study: optuna.Study, value: float) -> float:
    """Return the objective with a sign so that higher is better; NaN becomes the worst value."""
    if math.isnan(value):
        return -math.inf
    return value if study.direction is StudyDirection.MAXIMIZE else -value
