"""Which checkpoints to keep after a trial has ended: those of the best complete trials, and of failed trials to retry.

With several seeds, the best trial of each of the best configurations keeps its checkpoint. So does the best trial of
each configuration that still waits for seeds, as it may become one of the best.
"""

import contextlib
import math
from dataclasses import dataclass, field
from statistics import fmean

from search_spaces import SweepSpec
from search_spaces.trial import Training
from tune_jobs.events import Ended, EpochEnded, Event, Released
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import ENDED
from tune_jobs.results.summary import summary
from tune_jobs.system.files import PARTIAL


class Retention:
    """Removes the checkpoints that are no longer needed."""

    def __init__(self, folder: SweepFolder, ledger: Ledger, spec: SweepSpec) -> None:
        self._folder = folder
        self._ledger = ledger
        self._spec = spec
        self._seed = spec.space.values("training.seed", Training().seed)[0]  # with several repeats the only value
        self._sign = -1.0 if spec.goal == "maximize" else 1.0
        self._configurations: dict[str, _Seeds] = {}  # by run_key of the first trial: those that may be among the best
        self._kept: set[str] = set()  # run_keys of complete trials whose checkpoint is kept
        self._last: dict[str, float] = {}  # by run_key: the objective at its last epoch

    def tidy(self) -> None:
        """Remove unneeded checkpoints of all trials; call it at the start of a run, when no worker writes."""
        for attempt in self._folder.attempts():
            for partial in attempt.glob(f".*{PARTIAL}"):
                partial.unlink(missing_ok=True)
        found = summary(self._folder.name, self._ledger)
        for row in found.rows:
            if row.excluded is not None or row.state in ENDED:
                value = row.value if row.state == "complete" and row.excluded is None else None
                self._enter(row.repeat_of or row.run_key, row.repeat, value, row.number, row.run_key)
        kept = self._weed()
        for row in found.shown:  # excluded trials keep theirs: they may be included again
            if row.state in ("complete", "stopped", "diverged") and row.run_key not in kept:
                self._drop(row.run_key)

    def take(self, event: Event) -> None:
        """Handle an event. A file that cannot be removed stays: unreachable storage must not end the sweep."""
        with contextlib.suppress(OSError):
            self._take(event)

    def _take(self, event: Event) -> None:
        job, key = event.job, event.job.run_key
        if isinstance(event, EpochEnded):
            self._last[key] = event.metrics[self._spec.metric]
        elif isinstance(event, Ended) and event.state in ENDED:
            value = self._last[key] if event.state == "complete" else None
            place = job.config.training.seed - self._seed if job.repeat_of else 0
            self._enter(job.repeat_of or key, place, value, job.number, key)
            before = self._kept
            for worse in before - self._weed():
                self._drop(worse)
            if event.state in ("stopped", "diverged"):
                self._drop(key)
        elif isinstance(event, Released) and event.state == "complete":
            if key in self._kept:
                for path in self._folder.checkpoints(key)[1:]:
                    path.unlink(missing_ok=True)
            else:
                self._drop(key)

    def _enter(self, first: str, place: int, value: float | None, number: int, run_key: str) -> None:
        """Note that a trial has ended, with the objective of a complete trial."""
        if place >= self._spec.search.repeats:
            return
        seeds = self._configurations.setdefault(first, _Seeds(number))
        seeds.ended += 1
        if value is not None:
            seeds.complete.append((self._sign * value if math.isfinite(value) else math.inf, number, run_key))

    def _weed(self) -> set[str]:
        """Forget configurations that can no longer be among the best; return the run keys of the others' best trials.

        Configurations that wait for further seeds are kept.
        """
        most, closed = self._spec.resources.keep_best, 0
        for first, seeds in sorted(self._configurations.items(), key=lambda item: item[1].rank()):
            if seeds.ended >= self._spec.search.repeats or not seeds.complete or not most:
                closed += bool(seeds.complete)
                if closed > most or not seeds.complete:
                    del self._configurations[first]
        self._kept = {min(seeds.complete)[2] for seeds in self._configurations.values() if seeds.complete}
        return self._kept

    def _drop(self, run_key: str) -> None:
        for path in self._folder.checkpoints(run_key):
            path.unlink(missing_ok=True)


@dataclass
class _Seeds:
    """The ended trials of a configuration."""

    number: int
    complete: list[tuple[float, int, str]] = field(default_factory=list)
    """Signed objective (lower is better), number, run_key."""

    ended: int = 0

    def rank(self) -> tuple[int, float, int]:
        """Sort key, best first: by the number of complete seeds, then by their mean."""
        values = [value for value, _, _ in self.complete]
        return -len(values), fmean(values) if values else math.inf, self.number
