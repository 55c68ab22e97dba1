"""A clock that stands while its process does."""

import time
from collections.abc import Callable

PAUSE_S = 20.0
"""A driver asks for the time many times in this; if it has not, it was held: by Ctrl-Z, a frozen container, a sleep."""


class AwakeClock:
    """Seconds in which this process ran, as far as it can tell: a pause is nobody's silence, and costs nothing."""

    def __init__(self, read: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._last = read()
        self.paused_s = 0.0
        """The gaps that were left out."""

    def now(self) -> float:
        """The time; a gap since the last call that is no driver's own is left out of it."""
        at = self._read()
        gap, self._last = at - self._last, at
        if gap > PAUSE_S:
            self.paused_s += gap
        return at - self.paused_s
