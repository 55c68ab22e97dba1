"""Hyperband: successive halving in brackets; some brackets judge trials early, others late."""

import binascii
import math
from itertools import accumulate

import optuna

from search_spaces import Space
from search_spaces.settings import Hyperband
from search_spaces.trial import Training
from tune_jobs.search.pruners.base import StoppingRule
from tune_jobs.search.pruners.halving import Halving


class BracketedHalving(StoppingRule):
    """Optuna's brackets. A trial's bracket depends on the study's name and the trial's number."""

    def __init__(self, settings: Hyperband, space: Space) -> None:
        first, factor = settings.grace_epochs, settings.reduction_factor
        most = int(max(space.values("training.epochs", Training().epochs)))
        count = math.floor(math.log(most / first, factor)) + 1
        self._brackets = [Halving(first * factor**number, factor) for number in range(count)]
        shares = [math.ceil(count * factor**left / (left + 1)) for left in reversed(range(count))]
        self._ends = list(accumulate(shares))

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        """Whether the trial is not among the best of its bracket's rung."""
        if not self._brackets:  # no trial reaches the first rung
            return False
        place = binascii.crc32(f"{study.study_name}_{trial.number}".encode()) % self._ends[-1]
        bracket = next(number for number, end in enumerate(self._ends) if place < end)
        return self._brackets[bracket].stops(study, trial)
