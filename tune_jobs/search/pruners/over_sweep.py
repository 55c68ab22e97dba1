"""The rule `auto` over the reports of a whole sweep: trials by name, and how long they are from the first complete one.

Pure, as `curves` is. The study's rule and whoever replays a record both ask this, so that they cannot differ.
"""

from collections.abc import Hashable

from tune_jobs.search.pruners.curves import AutoRule


class OverSweep:
    """Until the first trial is complete every trial goes on, and what is reported waits.

    A trial of other length than that one is not stopped, or not learnt from.
    """

    def __init__(self, *, maximize: bool) -> None:
        """Start a sweep."""
        self._maximize = maximize
        self._rule: AutoRule | None = None
        self._epochs = 0
        self._numbers: dict[Hashable, int] = {}  # in the order of first epochs
        self._waiting: list[tuple[int, int, float]] = []

    @property
    def has_begun(self) -> bool:
        """Whether a trial is complete."""
        return self._rule is not None

    def begin(self, epochs: int) -> None:
        """Note how many epochs the first complete trial had."""
        self._rule, self._epochs = AutoRule(epochs, maximize=self._maximize), epochs

    def observe(self, trial: Hashable, epoch: int, value: float) -> bool:
        """Note one more epoch of a trial; whether to stop it there."""
        number = self._numbers.setdefault(trial, len(self._numbers))
        self._waiting.append((number, epoch, value))
        if self._rule is None:
            return False
        stopped = False
        for at, then, reported in self._waiting:
            stopped = self._rule.observe(at, then, reported) and at == number
            if stopped or then == self._epochs:
                self._rule.ended(at, "stopped" if stopped else "complete")
        self._waiting.clear()
        return stopped

    def would_stop(self, trial: Hashable, epoch: int) -> bool:
        """Whether a trial is a control, and would be stopped after this epoch, its last so far, if it were none."""
        number = self._numbers[trial]
        return self._rule is not None and self._rule.is_control(number) and self._rule.would_stop(number, epoch)
