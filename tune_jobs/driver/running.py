"""A job under way, as the driver sees it, and what its silence means. All times are the executor's."""

import math
from dataclasses import dataclass

from tune_jobs.events import Job
from tune_jobs.executors.base import Loss
from tune_jobs.record.rows import State

SILENT_S, SILENT_EPOCHS = 600.0, 20
"""A worker that ends no epoch for so long, and for so many times its last one, hangs."""

FIRST_S = 3600.0
"""The same before an attempt's first epoch, and for so many times the longest of any trial."""

SAVE_S = 10.0
"""How long a state may take to be kept."""


@dataclass
class Running:
    """A job that has not ended."""

    job: Job
    asked: float
    """When it was handed to the executor."""

    started: float | None = None
    """When its worker was there."""

    begun: bool = False
    """Whether the worker has said a word."""

    node: str | None = None
    reported: float = -math.inf
    """When its last epoch ended."""

    epoch_s: float | None = None
    missed_s: float = 0.0
    """How long it trained while the driver was held."""

    paused_s: float = 0.0
    """How long the driver had been held by the last epoch."""

    overdue: bool = False
    """Whether it was killed for its time limit."""

    blind: str | None = None
    """Why it was killed, if its machine does not see the sweep's folder."""

    to_stop: bool = False
    """Whether a person asked that it end after its epoch."""

    lost: Loss | None = None
    """Why it was killed, if it hung."""

    def held_s(self, now: float) -> float:
        """For how long it has held its resources."""
        return 0.0 if self.started is None else now - self.started + self.missed_s

    def ends_epoch(self, now: float, paused_s: float, trained_s: float, longest_epoch_s: float) -> float:
        """Note that an epoch has ended, which by its worker took `trained_s`; how much of that the driver missed.

        A worker that was held with its driver has counted the pause; an epoch is no longer than the longest before.
        """
        seconds = now - max(self.reported, self.asked)
        missed = max(0.0, min(paused_s - self.paused_s, trained_s - seconds, longest_epoch_s))
        self.missed_s += missed
        self.epoch_s, self.reported, self.paused_s = seconds + missed, now, paused_s
        return missed

    def hangs(self, now: float, longest_epoch_s: float) -> bool:
        """Whether it has been silent for too long; never where no trial has ended an epoch."""
        if self.started is None:
            return False
        if self.epoch_s is not None:
            limit = max(SILENT_S, SILENT_EPOCHS * self.epoch_s)
        else:
            limit = max(FIRST_S, SILENT_EPOCHS * longest_epoch_s) if longest_epoch_s else math.inf
        return now - max(self.started, self.reported) > limit

    def ends_epoch_by(self, now: float, deadline: float) -> bool:
        """Whether the epoch under way is likely to end in time; in its first one, a trial has no speed yet."""
        if self.epoch_s is None:
            return False
        return now < self.reported + 1.5 * self.epoch_s + SAVE_S <= deadline


@dataclass(frozen=True)
class Draining:
    """A job that has ended, while its worker is still there."""

    job: Job
    state: State
    since: float
