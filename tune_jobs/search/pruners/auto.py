"""The rule `auto` over a study: `curves` decides, this tells it what is reported."""

from collections.abc import Mapping

import optuna
from optuna.trial import TrialState

from search_spaces import Space
from search_spaces.settings import Auto
from tune_jobs.search.pruners.base import StoppingRule
from tune_jobs.search.pruners.curves import AutoRule
from tune_jobs.search.pruners.prior import recorded_sweeps

LOSSES = ("val/loss", "test/loss")
"""The loss that is learnt from: the first of these that a trial reports."""


class LearntStopping(StoppingRule):
    """Learns from the study's complete trials what standing is worth.

    How many epochs a whole trial has is what the first complete one had; until then every trial goes on, and what is
    reported waits. A trial of other length is not stopped, or not learnt from.
    """

    def __init__(self, settings: Auto, space: Space) -> None:
        del space
        self._prior = recorded_sweeps() if settings.prior == "recorded" else ()
        self._rule: AutoRule | None = None
        self._epochs = 0
        self._numbers: dict[int, int] = {}  # of Optuna's trials: in the order of their first epochs
        self._known: dict[int, int] = {}  # epochs by number
        self._losses: dict[tuple[int, int], float] = {}  # by Optuna's number and epoch, until they are judged
        self._waiting: list[tuple[int, int, float, float | None]] = []

    def sees(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the loss."""
        loss = next((metrics[name] for name in LOSSES if name in metrics), None)
        if loss is not None:
            self._losses[number, epoch] = loss

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial's chance to become the best is too small for the epochs that are left."""
        number = self._numbers.setdefault(trial.number, len(self._numbers))
        epochs = sorted(epoch for epoch in trial.intermediate_values if epoch > self._known.get(number, 0))
        self._waiting += [
            (number, epoch, trial.intermediate_values[epoch], self._losses.pop((trial.number, epoch), None))
            for epoch in epochs
        ]
        self._known[number] = max(epochs, default=self._known.get(number, 0))
        if self._rule is None:
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if not complete:
                return False
            self._epochs = max(complete[0].intermediate_values)
            maximize = study.direction == optuna.study.StudyDirection.MAXIMIZE
            self._rule = AutoRule(self._epochs, maximize=maximize, prior=self._prior)
        stopped = False
        for at, epoch, value, loss in self._waiting:
            stopped = self._rule.observe(at, epoch, value, loss) and at == number
            if stopped or epoch == self._epochs:
                self._rule.ended(at, "stopped" if stopped else "complete")
        self._waiting.clear()
        return stopped
