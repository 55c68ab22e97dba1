"""How much more trials would improve the best, and when that is too little: order statistics of the results so far.

n trials have ended, m more may follow, and their order does not depend on how good they are. Then the best of all n + m
is one of the m with probability m / (n + m), for any search space. A trial that was stopped or diverged counts among
the n: later trials will be stopped or diverge equally often. No number of trials can tell for sure how far a new best
lies above the old one, as the best may stand alone. So there are two answers.

`Forecast` is the likely gain. It assumes that the final values of the best quarter fall off exponentially (Weissman,
Estimation of parameters and large quantiles based on the k largest observations, 1978). `chance_of_more` decides
whether a search may end. There a margin only helps if many trials lie that close to the best.

A sampler that learns makes later trials better than earlier ones. With such a sampler, a new best was found up to four
times as often as n / (n + m) says (`benchmarks/enough.py`). So only the share `LEARNING` of the trials counts.

Pure functions: numbers in, numbers out.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

FEWEST = 8
"""Number of complete trials needed for a forecast."""

LEARNING = 0.25

ALONE, STRENGTH = 10, 5
"""`ALONE` trials close to the best prove nothing: recorded tables have a best trial that stands alone above six others.
With J trials close to the best, a new trial is better by more than the margin `STRENGTH / (STRENGTH + J - ALONE)` times
as often as it is better at all."""

CAUTION = 0.9
"""The share of the allowed error probability that is used."""

TAIL, SHORTEST_TAIL = 0.25, 5
"""The share of the trials, and the minimum number, whose final values determine the tail."""

CONFIDENCE = 0.9
"""The confidence of a forecast's upper limit."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Tried:
    """The trials of a search that ended normally, without those that failed, were excluded or were stopped manually."""

    finals: tuple[float, ...]
    """The final objective of each complete trial, as recorded, in any order."""

    others: int
    """Number of trials that the stopping rule stopped, or that diverged."""

    maximize: bool
    """Whether higher is better. The objective is then an accuracy, otherwise a loss."""

    learns: bool = False
    """Whether the sampler learns."""

    @property
    def count(self) -> int:
        """Number of all these trials."""
        return len(self.finals) + self.others

    @property
    def stand_for_others(self) -> float:
        """The effective number of trials that are representative of later ones."""
        return self.count * (LEARNING if self.learns else 1.0)

    @property
    def enough_complete(self) -> bool:
        """Whether there are enough complete trials for a forecast."""
        return len(self.finals) >= FEWEST

    @cached_property
    def below_best(self) -> tuple[float, ...]:
        """The distance of each complete trial from the best, the best first."""
        best = (max if self.maximize else min)(self.finals)
        return tuple(sorted(abs(best - final) for final in self.finals))

    @property
    def room(self) -> float:
        """The largest possible gain over the best: an accuracy is at most 1, a loss at least 0."""
        return max(0.0, 1 - max(self.finals) if self.maximize else min(self.finals))

    def near(self, within: float) -> int:
        """Return the number of complete trials within this distance of the best, including the best."""
        return sum(distance <= within + _ROUNDING for distance in self.below_best)


def tried(ended: Iterable[tuple[str, float | None]], *, maximize: bool, learns: bool) -> Tried:
    """Return the trials that ended normally, from the state and last value of each trial."""
    finals, others = [], 0
    for state, value in ended:
        if state == "complete" and value is not None and math.isfinite(value):
            finals.append(value)
        elif state in ("complete", "stopped", "diverged"):
            others += 1
    return Tried(tuple(finals), others, maximize, learns)


def chance_of_more(found: Tried, trials: int, within: float) -> float:
    """Return an upper limit of the chance that one of `trials` more trials beats the best by more than `within`.

    The result is 1 until enough trials are complete. It combines the order statistic with the rule of thumb of this
    module; see the simulations in `benchmarks/enough.py`.
    """
    if trials <= 0:
        return 0.0
    if not found.enough_complete:
        return 1.0
    if within + _ROUNDING >= found.room:
        return 0.0
    return chance_by_near(found.stand_for_others, trials, found.near(within))


def earliest_end(planned: int, confidence: float, *, learns: bool) -> int | None:
    """Return the smallest number of trials after which a search may end, if all are within the margin, or `None`."""
    share = LEARNING if learns else 1.0
    counts = range(FEWEST, planned)
    return next((n for n in counts if is_enough(chance_by_near(share * n, planned - n, n), confidence)), None)


def is_enough(chance: float, confidence: float) -> bool:
    """Whether a chance is small enough for this confidence, with a safety factor."""
    return chance <= CAUTION * (1 - confidence) + _ROUNDING


def chance_by_near(count: float, trials: int, near: int) -> float:
    """Return the same chance, for `count` representative trials of which `near` are within the margin of the best."""
    rate = trials * STRENGTH / (STRENGTH + max(0, near - ALONE))
    return rate / (count + rate)


@dataclass(frozen=True)
class Forecast:
    """The probable gain of more trials over the best."""

    trials: int
    better: float
    """The chance that one of them is better than the best."""

    median: float
    """The median gain."""

    most: float
    """The upper limit of the gain, with probability `confidence`."""

    confidence: float
    tried: int
    """Number of trials that have ended normally."""

    complete: int
    tail: int
    """Number of the best complete trials that determine the tail."""


def forecast(found: Tried, trials: int) -> Forecast | None:
    """Return the probable gain of more trials; `None` until enough trials are complete."""
    if not found.enough_complete:
        return None
    complete = len(found.finals)
    tail = min(complete - 1, max(SHORTEST_TAIL, math.ceil(TAIL * found.count)))
    below = found.below_best
    spread = below[tail] - sum(below[:tail]) / tail  # mean excess over the first trial outside the tail
    count = found.stand_for_others

    def at_most(chance: float) -> float:
        """Return the gain that is exceeded with this chance."""
        share = chance * count / (trials * (1 - chance))
        if share >= 1:
            return 0.0
        return min(found.room, tail * spread * (math.pow(share, -1 / tail) - 1))

    better = trials / (count + trials) if found.room else 0.0
    return Forecast(trials, better, at_most(0.5), at_most(1 - CONFIDENCE), CONFIDENCE, found.count, complete, tail)
