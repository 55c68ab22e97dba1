"""Which checkpoints stay once a trial has ended: those of the best complete trials, and of failed ones for a retry."""

import contextlib
import math

from search_spaces import SweepSpec
from tune_jobs.events import Ended, EpochEnded, Event, Released
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.summary import summary
from tune_jobs.system.files import PARTIAL


class Retention:
    """Drops the checkpoints that nobody will need again."""

    def __init__(self, folder: SweepFolder, ledger: Ledger, spec: SweepSpec) -> None:
        self._folder = folder
        self._ledger = ledger
        self._spec = spec
        self._sign = -1.0 if spec.goal == "maximize" else 1.0
        self._best: list[tuple[float, int, str]] = []  # the best first: signed objective, number, run_key
        self._last: dict[str, float] = {}  # by run_key: the objective at its last epoch

    def tidy(self) -> None:
        """Look at every trial; for the start of a run, when nothing is being written."""
        for attempt in self._folder.attempts():
            for partial in attempt.glob(f".*{PARTIAL}"):
                partial.unlink(missing_ok=True)
        rows = summary(self._folder.name, self._ledger).shown  # excluded ones keep theirs: they may be taken in again
        for row in rows:
            if row.state == "complete" and row.value is not None:
                self._rank(row.value, row.number, row.run_key)
        kept = {key for _, _, key in self._best}
        for row in rows:
            if row.state in ("complete", "stopped", "diverged") and row.run_key not in kept:
                self._drop(row.run_key)

    def take(self, event: Event) -> None:
        """Take an event. What cannot be dropped now stays: storage that is away for long ends no sweep."""
        with contextlib.suppress(OSError):
            self._take(event)

    def _take(self, event: Event) -> None:
        key = event.job.run_key
        if isinstance(event, EpochEnded):
            self._last[key] = event.metrics[self._spec.metric]
        elif isinstance(event, Ended):
            if event.state == "complete":
                for worse in self._rank(self._last[key], event.job.number, key):
                    self._drop(worse)
            elif event.state in ("stopped", "diverged"):
                self._drop(key)
        elif isinstance(event, Released) and event.state == "complete":
            if key in {kept for _, _, kept in self._best}:
                for path in self._folder.checkpoints(key)[1:]:
                    path.unlink(missing_ok=True)
            else:
                self._drop(key)

    def _rank(self, value: float, number: int, run_key: str) -> list[str]:
        """Enter a complete trial; the keys of those that are no longer among the best."""
        signed = self._sign * value if math.isfinite(value) else math.inf
        self._best = sorted([*self._best, (signed, number, run_key)])
        most = self._spec.resources.keep_best
        dropped, self._best = self._best[most:], self._best[:most]
        return [key for _, _, key in dropped]

    def _drop(self, run_key: str) -> None:
        for path in self._folder.checkpoints(run_key):
            path.unlink(missing_ok=True)
