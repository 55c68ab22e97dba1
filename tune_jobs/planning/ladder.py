"""How long trials train: the rungs at which ASHA stops some, and the epochs of all together."""

import itertools
import math
from dataclasses import dataclass

from search_spaces import SweepSpec
from search_spaces.settings import Asha
from search_spaces.trial import Training


@dataclass(frozen=True)
class Rung:
    """Epochs after which the stopping rule looks, and about how many trials go on from there."""

    epoch: int
    survivors: int


def epochs_of(spec: SweepSpec) -> int:
    """The longest training of the space."""
    return int(max(spec.space.values("training.epochs", Training().epochs)))


def ladder_of(spec: SweepSpec, trials: int, epochs: int) -> list[Rung]:
    """The rungs of ASHA; none where nothing stops trials early."""
    if not isinstance(spec.stopping, Asha):
        return []
    rungs: list[Rung] = []
    for number in itertools.count():
        epoch = spec.stopping.grace_epochs * spec.stopping.reduction_factor**number
        if epoch >= epochs:
            return rungs
        rungs.append(Rung(epoch, math.ceil(trials / spec.stopping.reduction_factor ** (number + 1))))
    raise AssertionError


def trial_epochs_of(ladder: list[Rung], trials: int, epochs: int) -> int:
    """Epochs of all trials together, where as many go on at each rung as it lets through."""
    total, running, done = 0, trials, 0
    for rung in ladder:
        total += running * (rung.epoch - done)
        running, done = rung.survivors, rung.epoch
    return total + running * (epochs - done)
