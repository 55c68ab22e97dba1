"""The rule `auto` for a study. `curves` decides; this module passes it the reported values."""

from collections.abc import Mapping

import optuna
from optuna.trial import TrialState

from search_spaces import Space
from search_spaces.settings import Auto
from tune_jobs.search.pruners.base import StoppingRule
from tune_jobs.search.pruners.over_sweep import OverSweep, loss_of, prior_of


class LearntStopping(StoppingRule):
    """Learns from the study's complete trials how well intermediate results predict final ones."""

    def __init__(self, settings: Auto, space: Space) -> None:
        del space
        self._prior = prior_of(settings)
        self._rule: OverSweep | None = None
        self._known: dict[int, int] = {}  # epochs, by Optuna's trial
        self._losses: dict[tuple[int, int], float | None] = {}  # by Optuna's trial and epoch, until they are used

    def sees(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Keep the loss."""
        self._losses[number, epoch] = loss_of(metrics)

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial's chance of becoming the best is too small for the remaining epochs."""
        if self._rule is None:
            self._rule = OverSweep(maximize=study.direction == optuna.study.StudyDirection.MAXIMIZE, prior=self._prior)
        if not self._rule.has_begun:
            complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
            if complete:
                self._rule.begin(max(complete[0].intermediate_values))
        stopped = False
        for epoch in sorted(epoch for epoch in trial.intermediate_values if epoch > self._known.get(trial.number, 0)):
            loss = self._losses.pop((trial.number, epoch), None)
            stopped = self._rule.observe(trial.number, epoch, trial.intermediate_values[epoch], loss)
            self._known[trial.number] = epoch
        return stopped
