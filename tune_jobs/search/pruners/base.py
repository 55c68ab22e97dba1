"""What every stopping rule is."""

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping

import optuna
from optuna.study import StudyDirection


class StoppingRule(ABC):
    """Decides after each epoch of a trial whether it is given up.

    A rule keeps nothing that the record does not have: a search that is rebuilt sees the same in the same order.
    """

    def sees(  # noqa: B027 - most rules do nothing
        self, number: int, epoch: int, metrics: Mapping[str, float]
    ) -> None:
        """Take all that a trial reported after an epoch, just before `stops` is asked; most rules have no use for it.

        Args:
            number: Of Optuna's trial.
            epoch: Counts from 1.
            metrics: The objective and the others, by name.
        """

    @abstractmethod
    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether to stop a trial now; what it says after the last epoch counts for nothing.

        Args:
            study: All trials, each once, with the objective by epoch as intermediate values; neither draws that cannot
                run nor what is known of excluded trials. `study.direction` is the goal, and `study.study_name` is the
                same whenever the search is rebuilt.
            trial: The one that has just reported an epoch.
        """


def score(study: optuna.Study, value: float) -> float:
    """The objective as a number of which more is better, whatever the goal; NaN is worse than any other."""
    if math.isnan(value):
        return -math.inf
    return value if study.direction is StudyDirection.MAXIMIZE else -value
