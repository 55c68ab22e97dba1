"""What a run does until its first trial trains: said as it changes, and again with its time while nothing else is."""

import time
from collections.abc import Callable
from dataclasses import dataclass

from tune_jobs.events import Ended, EpochEnded, Event, Loading, Resumed, Started

SILENT_S = 1.5
"""While a run starts, nobody waits longer for a line."""

BEING_DONE = " ..."
"""How a sentence ends about something that takes a while."""


@dataclass
class Startup:
    """Takes what is said and what happens. Times are those of `now`, in seconds."""

    now: Callable[[], float] = time.monotonic
    over: bool = False
    """Whether a trial has trained."""

    _doing: str | None = None
    _since: float = 0.0
    _spoke: float = 0.0

    def said(self, text: str) -> None:
        """A line was printed: one that says what is being done now, or another."""
        self._spoke = self.now()
        if text.endswith(BEING_DONE):
            self._begin(text.removesuffix(BEING_DONE))

    def take(self, event: Event) -> str | None:
        """What is to be said of an event, as far as it is news of the start."""
        if self.over:
            return None
        if isinstance(event, Started):
            self._begin("starting the workers")
        elif isinstance(event, Loading):
            self._begin(f"trial {event.job.number}: its worker loads torch, the images and the model")
            return f"{self._doing}{BEING_DONE}"
        elif isinstance(event, Resumed | EpochEnded | Ended):
            waited, self.over, self._doing = self._doing is not None, True, None
            if waited and isinstance(event, Resumed) and not event.epoch:
                return f"trial {event.job.number} trains"
        return None

    def line(self) -> str | None:
        """What is being done, and for how long; `None` where nothing is that takes a while, or a trial trains."""
        doing = self._doing
        return None if doing is None else f"{doing}{BEING_DONE} {self.now() - self._since:.0f} s"

    def overdue(self) -> str | None:
        """The same, if nothing was said for long."""
        return self.line() if self.now() - self._spoke >= SILENT_S else None

    def _begin(self, doing: str) -> None:
        if not self.over and doing != self._doing:
            self._doing, self._since = doing, self.now()
