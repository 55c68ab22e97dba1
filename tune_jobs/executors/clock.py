"""A clock that stops while its process is paused."""

import time
from collections.abc import Callable

PAUSE_S = 20.0
"""A driver reads the clock many times in this interval. A longer gap is a pause: Ctrl-Z, a frozen container, sleep."""


class AwakeClock:
    """Counts only the seconds in which this process ran; a pause is neither a silent worker nor budget spent."""

    def __init__(self, read: Callable[[], float] = time.monotonic) -> None:
        self._read = read
        self._last = read()
        self.paused_s = 0.0
        """Total length of the pauses that were left out."""

    def now(self) -> float:
        """Return the time without the pauses; a long gap since the last call counts as a pause."""
        at = self._read()
        gap, self._last = at - self._last, at
        if gap > PAUSE_S:
            self.paused_s += gap
        return at - self.paused_s
