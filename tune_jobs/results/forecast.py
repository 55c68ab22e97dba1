"""What more trials would bring, and when that is too little: order statistics of what the trials so far have come to.

n trials have ended, m more are asked about, and their order says nothing of how good they are. Then the best of all
n + m is one of the m with a chance of m / (n + m), whatever is searched. A trial that was stopped or diverged counts
among the n: those to come will be stopped and diverge as often. How far a new best lies above the old one no number of
trials can tell for sure: the best may stand alone. So there are two answers.

`Forecast` is what is likely: the finals of the best quarter are taken to fall off exponentially (Weissman, Estimation
of parameters and large quantiles based on the k largest observations, 1978). `chance_of_more` is what a search may end
on: there a margin counts for something only where many trials lie that close to the best.

A sampler that learns makes later trials better than earlier ones. There a new best was found up to four times as often
as n / (n + m) says (`benchmarks/enough.py`), so that only the share `LEARNING` of the trials counts.

Pure: numbers in, numbers out.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property

FEWEST = 8
"""Complete trials before anything is said."""

LEARNING = 0.25

ALONE, STRENGTH = 10, 5
"""So many trials close to the best prove nothing: recorded tables have a best trial that stands alone above six others.
With J of them, a new trial is better by more than the margin `STRENGTH / (STRENGTH + J - ALONE)` times as often as it
is better at all."""

CAUTION = 0.9
"""Of what a confidence allows, so much is used."""

TAIL, SHORTEST_TAIL = 0.25, 5
"""The share of the trials, and the fewest, whose finals say how these fall off."""

CONFIDENCE = 0.9
"""Of the upper limit of a forecast."""

_ROUNDING = 1e-9


@dataclass(frozen=True)
class Tried:
    """The trials of a search that ended as it goes; failed, excluded and stopped ones by hand are none of them."""

    finals: tuple[float, ...]
    """Of the complete ones, as recorded, in any order."""

    others: int
    """Trials that were stopped by the rule, or diverged."""

    maximize: bool
    """Whether more is better. The objective is an accuracy then, else a loss."""

    learns: bool = False
    """Whether the sampler learns."""

    @property
    def count(self) -> int:
        """All of them."""
        return len(self.finals) + self.others

    @property
    def stand_for_others(self) -> float:
        """How many stand for those to come."""
        return self.count * (LEARNING if self.learns else 1.0)

    @property
    def enough_complete(self) -> bool:
        """Whether anything can be said."""
        return len(self.finals) >= FEWEST

    @cached_property
    def below_best(self) -> tuple[float, ...]:
        """How far each complete one is from the best, the best first."""
        best = (max if self.maximize else min)(self.finals)
        return tuple(sorted(abs(best - final) for final in self.finals))

    @property
    def room(self) -> float:
        """No trial can be better than the best by more: an accuracy is at most 1, a loss at least 0."""
        return max(0.0, 1 - max(self.finals) if self.maximize else min(self.finals))

    def near(self, within: float) -> int:
        """The complete trials that are so close to the best, itself among them."""
        return sum(distance <= within + _ROUNDING for distance in self.below_best)


def tried(ended: Iterable[tuple[str, float | None]], *, maximize: bool, learns: bool) -> Tried:
    """The trials that ended as a search goes, from the state and last value of each."""
    finals, others = [], 0
    for state, value in ended:
        if state == "complete" and value is not None and math.isfinite(value):
            finals.append(value)
        elif state in ("complete", "stopped", "diverged"):
            others += 1
    return Tried(tuple(finals), others, maximize, learns)


def chance_of_more(found: Tried, trials: int, within: float) -> float:
    """At most so likely is one of so many more trials better than the best by more than `within`; 1 before it is known.

    The rule of thumb of the module on top of the order statistic; simulated in `benchmarks/enough.py`.
    """
    if trials <= 0:
        return 0.0
    if not found.enough_complete:
        return 1.0
    if within + _ROUNDING >= found.room:
        return 0.0
    return chance_by_near(found.stand_for_others, trials, found.near(within))


def earliest_end(planned: int, confidence: float, *, learns: bool) -> int | None:
    """After how many trials a search may end at the earliest: where all are within the margin. `None`: never sooner."""
    share = LEARNING if learns else 1.0
    counts = range(FEWEST, planned)
    return next((n for n in counts if is_enough(chance_by_near(share * n, planned - n, n), confidence)), None)


def is_enough(chance: float, confidence: float) -> bool:
    """Whether a chance is small enough, with a little kept in hand."""
    return chance <= CAUTION * (1 - confidence) + _ROUNDING


def chance_by_near(count: float, trials: int, near: int) -> float:
    """The same where `count` trials stand for those to come, and `near` are within the margin of the best."""
    rate = trials * STRENGTH / (STRENGTH + max(0, near - ALONE))
    return rate / (count + rate)


@dataclass(frozen=True)
class Forecast:
    """What so many more trials would probably bring, as a gain over the best."""

    trials: int
    better: float
    """The chance that one of them is better than the best."""

    median: float
    """As likely as not they gain no more."""

    most: float
    """With a chance of `confidence` they gain no more."""

    confidence: float
    tried: int
    """Trials that have ended as the search goes."""

    complete: int
    tail: int
    """Of these, the best ones that say how finals fall off."""


def forecast(found: Tried, trials: int) -> Forecast | None:
    """What so many more trials would bring; `None` before enough are complete."""
    if not found.enough_complete:
        return None
    complete = len(found.finals)
    tail = min(complete - 1, max(SHORTEST_TAIL, math.ceil(TAIL * found.count)))
    below = found.below_best
    spread = below[tail] - sum(below[:tail]) / tail  # mean excess over the first one that is not of the tail
    count = found.stand_for_others

    def at_most(chance: float) -> float:
        """The gain that is surpassed with this chance."""
        share = chance * count / (trials * (1 - chance))
        if share >= 1:
            return 0.0
        return min(found.room, tail * spread * (math.pow(share, -1 / tail) - 1))

    better = trials / (count + trials) if found.room else 0.0
    return Forecast(trials, better, at_most(0.5), at_most(1 - CONFIDENCE), CONFIDENCE, found.count, complete, tail)
