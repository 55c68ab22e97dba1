"""Compares recorded metrics with those of a replay: equal bit for bit, within a tolerance, or different."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

Verdict = Literal["equal", "within_tolerance", "different"]
_FROM_BEST: tuple[Verdict, ...] = ("equal", "within_tolerance", "different")

TOLERANCE = 0.01
"""Allowed difference: relative for a loss, absolute for an accuracy (one percentage point)."""


@dataclass(frozen=True)
class Pair:
    """One metric of one epoch, recorded and replayed."""

    epoch: int
    metric: str
    recorded: float
    replayed: float | None
    """`None` if the replay has no value."""

    verdict: Verdict


@dataclass(frozen=True)
class Compared:
    """One epoch, with its metrics in the recorded order."""

    epoch: int
    pairs: list[Pair]

    @property
    def verdict(self) -> Verdict:
        """The verdict of its worst metric."""
        return worst(pair.verdict for pair in self.pairs)


def compared(epoch: int, recorded: Mapping[str, float], replayed: Mapping[str, float], tolerance: float) -> Compared:
    """Compare the results of an epoch."""
    return Compared(
        epoch,
        [
            Pair(epoch, name, value, replayed.get(name), _verdict(name, value, replayed.get(name), tolerance))
            for name, value in recorded.items()
            if is_result(name)
        ],
    )


def is_result(metric: str) -> bool:
    """Whether a metric is a loss or an accuracy. Times, memory and sizes are not results of training."""
    return "/" in metric


def worst(verdicts: Iterable[Verdict]) -> Verdict:
    """Return the worst verdict; "equal" if there are none."""
    return max(verdicts, key=_FROM_BEST.index, default="equal")


def first(epochs: Iterable[Compared], *verdicts: Verdict) -> Pair | None:
    """Return the first metric of the first epoch with one of these verdicts."""
    return next((pair for epoch in epochs for pair in epoch.pairs if pair.verdict in verdicts), None)


def _verdict(metric: str, recorded: float, replayed: float | None, tolerance: float) -> Verdict:
    if replayed is None:
        return "different"
    if recorded == replayed or (math.isnan(recorded) and math.isnan(replayed)):
        return "equal"
    allowed = tolerance * (1.0 if "accuracy" in metric else abs(recorded))
    return "within_tolerance" if abs(recorded - replayed) <= allowed else "different"
