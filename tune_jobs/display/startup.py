"""The steps of a run until its first trial trains: each is printed once, and again with its time if it is slow."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tune_jobs.events import Ended, EpochEnded, Event, Loading, Resumed, Started

SILENT_S = 1.5
"""Longest time without a line while a run starts."""

BEING_DONE = " ..."
"""Ending of a line about a step that takes a while."""


@dataclass
class Startup:
    """Follows the printed lines and the events. Times are seconds of the clock `now`."""

    now: Callable[[], float] = time.monotonic
    over: bool = False
    """Whether a trial has started to train."""

    _doing: str | None = None
    _since: float = 0.0
    _spoke: float = 0.0

    def said(self, text: str) -> None:
        """Note that a line was printed; a line that ends with BEING_DONE names the current step."""
        self._spoke = self.now()
        if text.endswith(BEING_DONE):
            self._begin(text.removesuffix(BEING_DONE))

    def take(self, event: Event) -> str | None:
        """Return a line about an event that is news about the start, else `None`."""
        if self.over:
            return None
        if isinstance(event, Started):
            self._begin("starting the workers")
        elif isinstance(event, Loading):
            self._begin(f"trial {event.job.number}: loading torch, the images and the model")
            return f"{self._doing}{BEING_DONE}"
        elif isinstance(event, Resumed | EpochEnded | Ended):
            waited, self.over, self._doing = self._doing is not None, True, None
            if waited and isinstance(event, Resumed) and not event.epoch:
                return f"trial {event.job.number} is training"
        return None

    def line(self) -> str | None:
        """Return the current step and its elapsed time; `None` if there is no slow step, or a trial trains."""
        doing = self._doing
        return None if doing is None else f"{doing}{BEING_DONE} {self.now() - self._since:.0f} s"

    def overdue(self) -> str | None:
        """Return the same if no line was printed for SILENT_S, else `None`."""
        return self.line() if self.now() - self._spoke >= SILENT_S else None

    def _begin(self, doing: str) -> None:
        if not self.over and doing != self._doing:
            self._doing, self._since = doing, self.now()
