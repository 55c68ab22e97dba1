"""What a stopping rule may have cost: the chance that a trial which it stopped would have been among the best.

Controls tell: trials that run to their end whatever they look like, chosen by number alone. Those that the rule would
have stopped are a sample of all that it would stop, and how they ended is known. What the rule would have said of them
is replayed from what the sweep has recorded, so it is the same during a sweep, after a restart, and at its end.
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
    """Of the trials that a rule has stopped, the share that would have ended among the best.

    docs/explanation/stopping.md says how it is known.
    """

    rule: str
    stopped: int
    """Trials that the rule has stopped."""

    has_controls: bool
    """Whether the rule runs any; without, nothing is known."""

    in_file_order: bool
    """Whether trials come in the order of a grid, so that every 24th may be like the one before."""

    controls: int = 0
    """Of those, the ones that it would have stopped and whose end is known."""

    running: int = 0
    """Those that it would have stopped, and that have not ended."""

    among_best: int = 0
    """Of `controls`."""

    low: float | None = None
    high: float | None = None
    """The interval; `None` where no such control has ended."""

    best: int = BEST
    confidence: float = CONFIDENCE
    method: str = METHOD

    def __str__(self) -> str:
        """In a line."""
        if not self.has_controls:
            return f"{WHAT}: not known, as {self.rule} runs no trial to its end that it would stop (auto does)"
        if self.low is None or self.high is None:
            waits = f"; {plural(self.running, 'such control')} still to end" if self.running else ""
            return f"{WHAT}: not known yet; no control that the rule would have stopped has ended{waits}"
        of = f"{self.among_best} of {plural(self.controls, 'control')} that the rule would have stopped"
        order = "; a grid goes in file order, so these may be unlike the others" if self.in_file_order else ""
        return f"{WHAT}: {self.low:.0%} to {self.high:.0%} ({CONFIDENCE:.0%} interval, {METHOD}: {of}{order})"


def risk_of(
    spec: SweepSpec,
    trials: Sequence[Trial],
    epochs: Callable[[], Sequence[Epoch]],
    excluded: Collection[str] = (),
) -> Risk | None:
    """The risk of a sweep so far; `None` where its rule has stopped nothing.

    Args:
        spec: The sweep.
        trials: All; the rule judges the first seed of a configuration alone.
        epochs: Says all that were recorded, in order; asked only where there are controls.
        excluded: Run keys of trials that are left out.
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
    """For a share (Clopper and Pearson, 1934): whatever it is, it is missed on either side in at most 5% of samples."""
    if not of:
        return None, None
    from scipy.special import betaincinv

    tail = (1 - CONFIDENCE) / 2
    low = float(betaincinv(found, of - found + 1, tail)) if found else 0.0
    return low, float(betaincinv(found + 1, of - found, 1 - tail)) if found < of else 1.0


@dataclass(frozen=True)
class Decision:
    """That `auto` stops a trial after an epoch, or would if the trial were no control."""

    run_key: str
    epoch: int
    is_control: bool


def replayed(spec: SweepSpec, trials: Sequence[Trial], epochs: Iterable[Epoch]) -> Iterator[Decision]:
    """What `auto` decided in a sweep; a control comes up at every epoch after which it would be stopped.

    The rule sees what a search sees that is rebuilt from the record: every epoch of these trials once, in the order of
    recording.
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
    """By run key, the value at the furthest epoch, from the last attempt that came so far."""
    found: dict[str, tuple[int, int, float]] = {}
    for epoch in epochs:
        place = epoch.epoch, epoch.attempt
        if place >= found.get(epoch.run_key, (0, 0))[:2]:
            found[epoch.run_key] = *place, epoch.metrics.get(metric, math.nan)
    return {key: value for key, (_, _, value) in found.items()}
