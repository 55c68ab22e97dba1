"""The risk of a stopping rule: the chance that a stopped trial would have been among the best.

It is estimated from controls: trials that always run to their end, chosen by number alone. The controls that the rule
would have stopped are a sample of all trials that it stops, and their final values are known. The rule's decisions for
them are replayed from the ledger, so they are the same during a sweep, after a restart, and at its end.
"""

import math
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass

from search_spaces import SweepSpec
from search_spaces.plurals import plural
from search_spaces.settings import Auto, Grid, NoStopping
from tune_jobs.record.rows import BY_HAND, Epoch, Trial
from tune_jobs.search.pruners.over_sweep import OverSweep, loss_of, prior_of

BEST, CONFIDENCE = 3, 0.9
METHOD = "Clopper-Pearson"
WHAT = f"chance that a stopped trial would have been among the best {BEST}"


@dataclass(frozen=True)
class Risk:
    """The share of the stopped trials that would have ended among the best.

    See docs/explanation/stopping.md for the method.
    """

    rule: str
    stopped: int
    """Number of trials that the rule has stopped."""

    has_controls: bool
    """Whether the rule runs controls; without them, the risk is not known."""

    in_file_order: bool
    """Whether trials run in the order of a grid, so that every 24th trial may resemble the one before."""

    controls: int = 0
    """Number of controls that the rule would have stopped and that have ended."""

    running: int = 0
    """Number of controls that the rule would have stopped and that have not ended."""

    among_best: int = 0
    """Number of `controls` that ended among the best."""

    low: float | None = None
    high: float | None = None
    """The upper end of the interval, as `low` is the lower one; both `None` if no such control has ended."""

    best: int = BEST
    confidence: float = CONFIDENCE
    method: str = METHOD

    def __str__(self) -> str:
        """Return the risk as one line of text."""
        if not self.has_controls:
            return f"{WHAT}: not known, as {self.rule} runs no controls to their end (auto does)"
        if self.low is None or self.high is None:
            waits = f"; {plural(self.running, 'such control')} not ended yet" if self.running else ""
            return f"{WHAT}: not known yet; no control that the rule would have stopped has ended{waits}"
        of = f"{self.among_best} of {plural(self.controls, 'control')} that the rule would have stopped"
        order = "; a grid runs in file order, so these may differ from the others" if self.in_file_order else ""
        return f"{WHAT}: {self.low:.0%} to {self.high:.0%} ({CONFIDENCE:.0%} interval, {METHOD}: {of}{order})"


def risk_of(
    spec: SweepSpec,
    trials: Sequence[Trial],
    epochs: Callable[[], Sequence[Epoch]],
    excluded: Collection[str] = (),
) -> Risk | None:
    """Return the risk of a sweep so far; `None` if its rule has stopped no trial.

    Args:
        spec: The sweep.
        trials: All trials; the rule only judges the first seed of a configuration.
        epochs: Returns all recorded epochs, in order; called only if the rule runs controls.
        excluded: Run keys of excluded trials.
    """
    counted = [trial for trial in trials if trial.run_key not in excluded and trial.repeat_of is None]
    stopped = sum(trial.state == "stopped" and trial.reason != BY_HAND for trial in counted)
    if not stopped or isinstance(spec.stopping, NoStopping):
        return None
    in_file_order = isinstance(spec.search, Grid)
    if not isinstance(spec.stopping, Auto):
        return Risk(spec.stopping.kind, stopped, False, in_file_order)
    keys = {trial.run_key for trial in counted}
    recorded = [epoch for epoch in epochs() if epoch.run_key in keys]
    sign = 1 if spec.goal == "maximize" else -1
    judged = {each.run_key for each in replayed(spec, counted, recorded) if each.is_control}
    finals = {key: sign * value for key, value in _last_values(spec.metric, recorded).items()}
    complete = [finals[trial.run_key] for trial in counted if trial.state == "complete"]
    ended = [trial for trial in counted if trial.run_key in judged and trial.state in ("complete", "diverged")]
    best = sum(
        trial.state == "complete" and sum(other > finals[trial.run_key] for other in complete) < BEST for trial in ended
    )
    running = sum(trial.run_key in judged and trial.state in ("running", "interrupted") for trial in counted)
    return Risk("auto", stopped, True, in_file_order, len(ended), running, best, *interval(best, len(ended)))


def interval(found: int, of: int) -> tuple[float, float] | tuple[None, None]:
    """Return the interval of a share (Clopper and Pearson, 1934): it misses on each side in at most 5% of samples."""
    if not of:
        return None, None
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(found, of - found + 1, tail)) if found else 0.0
    return low, float(betaincinv(found + 1, of - found, 1 - tail)) if found < of else 1.0


@dataclass(frozen=True)
class Decision:
    """A decision of `auto` to stop a trial after an epoch; a control would only have been stopped."""

    run_key: str
    epoch: int
    is_control: bool


def replayed(spec: SweepSpec, trials: Sequence[Trial], epochs: Iterable[Epoch]) -> Iterator[Decision]:
    """Yield the decisions of `auto` in a sweep; a control is yielded at every epoch after which it would be stopped.

    The rule sees the same events as a search rebuilt from the ledger: every epoch of these trials once, in the order
    of recording.
    """
    last = {trial.run_key: 0 for trial in trials}
    events: list[tuple[int, Epoch | Trial]] = [(epoch.seq, epoch) for epoch in epochs if epoch.run_key in last]
    events += [(t.ended_seq, t) for t in trials if t.state == "complete" and t.ended_seq is not None]
    assert isinstance(spec.stopping, Auto)
    rule = OverSweep(maximize=spec.goal == "maximize", prior=prior_of(spec.stopping))
    for _, event in sorted(events, key=lambda pair: pair[0]):
        key = event.run_key
        if isinstance(event, Trial):
            if not rule.has_begun:
                rule.begin(last[key])
        elif event.epoch > last[key]:
            last[key] = event.epoch
            value = event.metrics.get(spec.metric, math.nan)
            stopped = rule.observe(key, event.epoch, value, loss_of(event.metrics))
            if stopped or rule.would_stop(key, event.epoch):
                yield Decision(key, event.epoch, not stopped)


def _last_values(metric: str, epochs: Iterable[Epoch]) -> dict[str, float]:
    """Return the value at the last epoch, by run key, from the latest attempt that reached it."""
    found: dict[str, tuple[int, int, float]] = {}
    for epoch in epochs:
        place = epoch.epoch, epoch.attempt
        if place >= found.get(epoch.run_key, (0, 0))[:2]:
            found[epoch.run_key] = *place, epoch.metrics.get(metric, math.nan)
    return {key: value for key, (_, _, value) in found.items()}
