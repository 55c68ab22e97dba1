"""A running job, as the driver sees it, and when its silence means that it hangs. All times are the executor's."""

import math
from dataclasses import dataclass

from tune_jobs.events import Job
from tune_jobs.executors.base import Loss
from tune_jobs.record.rows import State

SILENT_S, SILENT_EPOCHS = 600.0, 20
"""A worker hangs if it finishes no epoch for this many seconds and for this many times its last epoch."""

FIRST_S = 3600.0
"""The same for an attempt's first epoch, compared with the longest epoch of any trial."""

SAVE_S = 10.0
"""How long writing a checkpoint may take."""


@dataclass
class Running:
    """A job that has not ended."""

    job: Job
    asked: float
    """When the executor received it."""

    started: float | None = None
    """When its worker started."""

    begun: bool = False
    """Whether the worker has reported anything."""

    node: str | None = None
    reported: float = -math.inf
    """When its last epoch ended."""

    epoch_s: float | None = None
    missed_s: float = 0.0
    """How long it trained while the driver was paused."""

    paused_s: float = 0.0
    """How long the driver had been paused in total at the last epoch."""

    overdue: bool = False
    """Whether it was killed because of its time limit."""

    blind: str | None = None
    """Why it was killed, if its machine cannot see the sweep folder."""

    to_stop: bool = False
    """Whether a user asked to stop it after its epoch."""

    lost: Loss | None = None
    """Why it was killed, if it hung."""

    def held_s(self, now: float) -> float:
        """Return for how long it has held its resources."""
        return 0.0 if self.started is None else now - self.started + self.missed_s

    def ends_epoch(self, now: float, paused_s: float, trained_s: float, longest_epoch_s: float) -> float:
        """Note the end of an epoch that took `trained_s` by the worker's clock; return how much the driver missed.

        A worker that was paused with its driver has counted the pause as training. So the missed time is at most the
        longest epoch so far.
        """
        seconds = now - max(self.reported, self.asked)
        missed = max(0.0, min(paused_s - self.paused_s, trained_s - seconds, longest_epoch_s))
        self.missed_s += missed
        self.epoch_s, self.reported, self.paused_s = seconds + missed, now, paused_s
        return missed

    def hangs(self, now: float, longest_epoch_s: float) -> bool:
        """Whether it has been silent for too long; never before any trial has finished an epoch."""
        if self.started is None:
            return False
        if self.epoch_s is not None:
            limit = max(SILENT_S, SILENT_EPOCHS * self.epoch_s)
        else:
            limit = max(FIRST_S, SILENT_EPOCHS * longest_epoch_s) if longest_epoch_s else math.inf
        return now - max(self.started, self.reported) > limit

    def ends_epoch_by(self, now: float, deadline: float) -> bool:
        """Whether the current epoch will probably end in time; false in the first epoch, as the speed is not known."""
        if self.epoch_s is None:
            return False
        return now < self.reported + 1.5 * self.epoch_s + SAVE_S <= deadline


@dataclass(frozen=True)
class Draining:
    """A job that has ended, but whose worker is still there."""

    job: Job
    state: State
    since: float
