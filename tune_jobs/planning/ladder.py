"""How long trials train: the rungs at which successive halving stops some, and the epochs of all together."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

from search_spaces import SweepSpec
from search_spaces.settings import Asha, Hyperband, NoStopping
from search_spaces.trial import Training
from tune_jobs.results.forecast import earliest_end
from tune_jobs.search.samplers.learning import learns


@dataclass(frozen=True)
class Rung:
    """An epoch after which the stopping rule judges, and about how many trials continue from there."""

    epoch: int
    survivors: int


def epochs_of(spec: SweepSpec) -> int:
    """Return the largest number of epochs in the space."""
    return int(max(spec.space.values("training.epochs", Training().epochs)))


def is_predictable(spec: SweepSpec) -> bool:
    """Whether it is known about how many trials the stopping rule lets continue; otherwise all may run to the end."""
    return isinstance(spec.stopping, NoStopping | Asha | Hyperband)


def earliest_end_of(spec: SweepSpec, trials: int) -> int | None:
    """Return the number of trials after which `stopping.enough` can end the sweep at the earliest, or `None`."""
    enough = spec.stopping.enough
    return None if enough is None else earliest_end(trials, enough.confidence, learns=learns(spec))


def ladder_of(spec: SweepSpec, trials: int, epochs: int) -> list[Rung]:
    """Return the rungs of successive halving; none for rules that stop no trial, or an unpredictable number."""
    if not isinstance(spec.stopping, Asha | Hyperband):
        return []
    eta, grace = spec.stopping.reduction_factor, spec.stopping.grace_epochs
    shares = _brackets(grace, eta, epochs) if isinstance(spec.stopping, Hyperband) else [1.0]
    return [
        Rung(
            epoch,
            math.ceil(sum(trials * share / eta ** max(0, rung - first + 1) for first, share in enumerate(shares))),
        )
        for rung, epoch in enumerate(_rungs(grace, eta, epochs))
    ]


def _rungs(grace: int, eta: int, epochs: int) -> Iterator[int]:
    epoch = grace
    while epoch < epochs:
        yield epoch
        epoch *= eta


def _brackets(grace: int, eta: int, epochs: int) -> list[float]:
    """Return the share of trials in each bracket; bracket b judges first at rung b.

    Source: optuna 5.0.0, `HyperbandPruner`, which assigns trials to brackets in proportion to their budgets.
    """
    many = math.floor(math.log(epochs / grace, eta)) + 1
    budgets = [math.ceil(many * eta**s / (s + 1)) for s in reversed(range(many))]
    return [budget / sum(budgets) for budget in budgets]


def trial_epochs_of(ladder: list[Rung], trials: int, epochs: int, repeats: int = 1) -> int:
    """Return the epochs of all trials together, if each rung lets the expected number of trials continue.

    With several seeds, `trials` is the number of configurations. The further seeds of those whose first trial runs to
    its last epoch train in full.
    """
    total, running, done = 0, trials, 0
    for rung in ladder:
        total += running * (rung.epoch - done)
        running, done = rung.survivors, rung.epoch
    return total + running * (epochs - done) + further_of(ladder, trials, repeats) * epochs


def further_of(ladder: list[Rung], trials: int, repeats: int) -> int:
    """Return the number of trials with further seeds, if each rung lets the expected number of trials continue."""
    whole = ladder[-1].survivors if ladder else trials
    return whole * (repeats - 1)
