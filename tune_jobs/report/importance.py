"""How much of the differences between trials each field explains, by the same model as the effects."""

from dataclasses import dataclass

import numpy as np
from scipy import stats

from tune_jobs.report.effects import Tried, compared
from tune_jobs.report.surrogate import LEVEL, Share, share
from tune_jobs.results.summary import Summary

FEWEST = 10
"""With fewer configurations, importance is mostly chance."""


@dataclass(frozen=True)
class Importance:
    """Shares by field, the largest first; empty if there is no conclusion. `note` explains the shares, or why not."""

    shares: dict[str, Share]
    note: str


def importance_of(found: Summary) -> Importance:
    """Return the part of the differences in rank on the leaderboard that each field explains.

    Ranks are used because trials that ended early have one, too: complete configurations come first, then stopped ones
    by their last epoch, then those that diverged. So fields that made trials end early count, and a single collapse
    does not outweigh all other trials.
    """
    columns, tried, split = compared(found)
    merits = [_merit(each, maximize=found.goal == "maximize") for each in tried]
    ended = np.array([merit is not None for merit in merits], dtype=bool)
    count = int(ended.sum())
    if count < FEWEST:
        return Importance(
            {}, f"This needs {FEWEST} comparable trials, but there are {count}: the result would be mostly chance."
        )
    order = {merit: place for place, merit in enumerate(sorted({merit for merit in merits if merit is not None}))}
    if len(order) == 1:
        return Importance({}, f"All {count} trials have the same value, so no parameter made a difference.")
    places = stats.rankdata([order[merit] for merit in merits if merit is not None])
    factors = [factor.of(ended) for _, factor in split]
    level = LEVEL / len(factors)
    shares = {
        column.name: share(places, factor, factors[:at] + factors[at + 1 :], level)
        for at, (column, factor) in enumerate(zip(columns, factors, strict=True))
    }
    known = {name: each for name, each in shares.items() if each is not None}
    if not known:
        return Importance({}, f"{count} trials are too few for fields with so many values.")
    ordered = sorted(known, key=lambda name: (known[name].value, known[name].high), reverse=True)
    return Importance({name: known[name] for name in ordered}, _note(known, count, len(shares)))


def _merit(tried: Tried, *, maximize: bool) -> tuple[int, int, float] | None:
    """Return a sort key, higher is better; `None` if the configuration says nothing about its fields."""
    sign = 1.0 if maximize else -1.0
    if tried.finals:
        return 2, 0, sign * float(np.mean(tried.finals))
    stopped = [row for row in tried.rows if row.state == "stopped" and row.counts]
    if stopped:
        return max((1, row.epoch, sign * (row.value or 0.0)) for row in stopped)
    return (0, 0, 0.0) if any(row.state == "diverged" for row in tried.rows) else None


def _note(shares: dict[str, Share], count: int, asked: int) -> str:
    alone = [name for name, each in shares.items() if each.alone]
    held = "the other fields held equal"
    if len(alone) == len(shares):
        held = "each field by itself, because there are too few trials to hold the others equal"
    elif alone:
        held = f"the other fields held equal, except for {', '.join(alone)}"
    note = (
        f"The part of the differences in rank among {count} configurations that each field explains, {held} (least "
        f"squares; epsilon squared with the noncentral F interval). All intervals hold simultaneously with "
        f"{1 - LEVEL:.0%} confidence. The interval of a grey bar includes 0, so it may be chance. Stopped and diverged "
        f"trials count, too; interactions between fields do not."
    )
    if asked > len(shares):
        note += f" The data is too small for {asked - len(shares)} more."
    return note
