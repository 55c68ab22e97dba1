"""Which checkpoints stay once a trial has ended: those of the best complete trials, and of failed ones for a retry."""

import contextlib
import math
from typing import TYPE_CHECKING, Any

from search_spaces import SweepSpec
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.summary import summary
from tune_jobs.system.files import PARTIAL

if TYPE_CHECKING:
    from tune_jobs.search.queue import Job


class Keeper:
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
        found = summary(self._folder.name, self._ledger)
        for row in found.rows:
            if row.state == "complete" and row.value is not None:
                self._rank(row.value, row.number, row.run_key)
        kept = {key for _, _, key in self._best}
        for row in found.rows:
            if row.state in ("complete", "stopped", "diverged") and row.run_key not in kept:
                self._drop(row.run_key)

    def tell(self, event: str, job: "Job", details: dict[str, Any]) -> None:
        """Take an event of the desk. What cannot be dropped now stays: storage that is away for long ends no sweep."""
        with contextlib.suppress(OSError):
            self._take(event, job, details)

    def _take(self, event: str, job: "Job", details: dict[str, Any]) -> None:
        if event == "epoch":
            self._last[job.run_key] = details["metrics"][self._spec.metric]
        elif event == "end":
            if details["state"] == "complete":
                for key in self._rank(self._last[job.run_key], job.number, job.run_key):
                    self._drop(key)
            elif details["state"] in ("stopped", "diverged"):
                self._drop(job.run_key)
        elif event == "over" and details["state"] == "complete":
            if job.run_key in {key for _, _, key in self._best}:
                for path in self._folder.checkpoints(job.run_key)[1:]:
                    path.unlink(missing_ok=True)
            else:
                self._drop(job.run_key)

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
