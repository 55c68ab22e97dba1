"""The rule `auto` for the reports of a whole sweep. Trials have names; the first complete one sets their length.

Pure, like `curves`. Both the study's rule and replays of a ledger use this class, so that they cannot differ.
"""

from collections.abc import Hashable, Mapping

from search_spaces.settings import Auto
from tune_jobs.search.pruners.curves import AutoRule
from tune_jobs.search.pruners.prior import RecordedSweep, recorded_sweeps

LOSSES = ("val/loss", "test/loss")
"""The rule learns from the first of these losses that a trial reports."""


def loss_of(metrics: Mapping[str, float]) -> float | None:
    """Return the loss that the rule uses besides the objective; `None` if a trial reports no loss."""
    return next((metrics[name] for name in LOSSES if name in metrics), None)


def prior_of(settings: Auto) -> tuple[RecordedSweep, ...]:
    """Return the recorded sweeps that a sweep may resemble."""
    return recorded_sweeps() if settings.prior == "recorded" else ()


class OverSweep:
    """Applies the rule to a sweep. Until the first trial is complete, no trial is stopped, and reports wait.

    A trial with a different number of epochs than that one is not stopped, or is not learnt from.
    """

    def __init__(self, *, maximize: bool, prior: tuple[RecordedSweep, ...] = ()) -> None:
        """Start a sweep; `prior` has recorded sweeps that it may resemble."""
        self._maximize, self._prior = maximize, prior
        self._rule: AutoRule | None = None
        self._epochs = 0
        self._numbers: dict[Hashable, int] = {}  # in the order of first epochs
        self._waiting: list[tuple[int, int, float, float | None]] = []

    @property
    def has_begun(self) -> bool:
        """Whether a trial is complete."""
        return self._rule is not None

    def begin(self, epochs: int) -> None:
        """Note how many epochs the first complete trial had."""
        self._rule, self._epochs = AutoRule(epochs, maximize=self._maximize, prior=self._prior), epochs

    def observe(self, trial: Hashable, epoch: int, value: float, loss: float | None = None) -> bool:
        """Note one more epoch of a trial, and return whether to stop it there."""
        number = self._numbers.setdefault(trial, len(self._numbers))
        self._waiting.append((number, epoch, value, loss))
        if self._rule is None:
            return False
        stopped = False
        for at, then, reported, its_loss in self._waiting:
            stopped = self._rule.observe(at, then, reported, its_loss) and at == number
            if stopped or then == self._epochs:
                self._rule.ended(at, "stopped" if stopped else "complete")
        self._waiting.clear()
        return stopped

    def would_stop(self, trial: Hashable, epoch: int) -> bool:
        """Whether a trial is a control that would otherwise be stopped after this epoch, its last so far."""
        number = self._numbers[trial]
        return self._rule is not None and self._rule.is_control(number) and self._rule.would_stop(number, epoch)
