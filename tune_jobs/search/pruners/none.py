"""No stopping rule: every trial runs to its last epoch."""

import optuna

from search_spaces import Space
from search_spaces.settings import NoStopping
from tune_jobs.search.pruners.base import StoppingRule


class NoRule(StoppingRule):
    """Stops no trial."""

    def __init__(self, settings: NoStopping, space: Space) -> None:
        del settings, space

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Always false."""
        del study, trial
        return False
