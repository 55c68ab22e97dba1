"""A search with simulated trials in this process, and the record that a driver would have written."""

import random
from collections import deque
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from search_spaces import SweepSpec, TrialConfig
from tune_jobs.conformance.outcome import require
from tune_jobs.events import Ended, EpochEnded, Job
from tune_jobs.record.rows import Ask, Attempt, Epoch, State, Trial
from tune_jobs.search.base import Past
from tune_jobs.search.queue import Search

AT_ONCE = 3
Curves = Sequence[Sequence[float]]


@dataclass
class Record:
    """The data that a driver would have recorded."""

    asks: list[Ask] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    trials: dict[str, tuple[TrialConfig, State, int | None]] = field(default_factory=dict)

    @property
    def seq(self) -> int:
        """The sequence number of the next entry."""
        ends = sum(seq is not None for _, _, seq in self.trials.values())
        return len(self.asks) + len(self.epochs) + ends + 1

    def end(self, key: str, state: State) -> None:
        """Record the end of a trial."""
        self.trials[key] = (self.trials[key][0], state, self.seq)

    def past(self, excluded: Collection[str] = ()) -> Past:
        """Return the data for rebuilding a search."""
        trials = [
            Trial(key, number, config, state, seq, None, 0)
            for number, (key, (config, state, seq)) in enumerate(self.trials.items(), 1)
        ]
        attempts = [
            Attempt(trial.run_key, 1, trial.state, 0, None, None, None, 0, None, 0, 0, 1, None, None)
            for trial in trials
        ]
        return Past(self.asks, trials, attempts, self.epochs, excluded=excluded)


@dataclass
class Played:
    """A search that trains `AT_ONCE` trials alternately; trial n has the values `curves[n - 1]`."""

    spec: SweepSpec
    curves: Curves
    cut_off: bool = False
    """Whether the search is rebuilt after every record."""

    record: Record = field(default_factory=Record)
    excluded: Collection[str] = ()
    decisions: list[tuple[int, int, bool]] = field(default_factory=list)
    """Trial, epoch and whether it is stopped there, in order."""

    def __post_init__(self) -> None:
        self.search = Search(self.spec, self.record.past(self.excluded))
        running: deque[tuple[Job, int]] = deque()
        while True:
            while len(running) < AT_ONCE and (job := self.new_job()) is not None:
                running.append((job, 1))
            if not running:
                return
            job, epoch = running.popleft()
            if not self.ends(job, epoch):
                running.append((job, epoch + 1))
            if self.cut_off:
                require(not self.rebuild(), "after a rebuild, the search ends trials that have already ended")
                due = {start.run_key for _ in running if (start := self.search.propose().start) is not None}
                require(due == {job.run_key for job, _ in running}, "after a rebuild, the search runs other trials")

    def rebuild(self) -> list[tuple[str, str | None]]:
        """Start a new search from the record; return the trials that it ends immediately."""
        self.search = Search(self.spec, self.record.past(self.excluded))
        return [(each.run_key, each.stopped_by) for each in self.search.settled]

    def new_job(self) -> Job | None:
        """Return the next trial."""
        proposal = self.search.propose()
        for asked in proposal.asked:
            number = len(self.record.asks)
            self.record.asks.append(Ask(number, self.record.seq, asked.decisions, asked.outcome, asked.run_key))
            if asked.config is not None and asked.run_key is not None:
                self.record.trials[asked.run_key] = (asked.config, "running", None)
        start = proposal.start
        return None if start is None else Job(start.run_key, 1, start.number, start.config)

    def ends(self, job: Job, epoch: int) -> bool:
        """Report an epoch of a trial; return whether the trial ends there."""
        require(
            job.number <= len(self.curves),
            f"trial {job.number} is one too many; do its settings have no field `trials`?",
        )
        metrics: dict[str, float] = {self.spec.metric: self.curves[job.number - 1][epoch - 1]}
        self.record.epochs.append(Epoch(self.record.seq, job.run_key, 1, epoch, 0, metrics))
        stops = bool(self.search.tell(EpochEnded(job, epoch, metrics)))
        self.decisions.append((job.number, epoch, stops))
        ends = stops or epoch == job.config.training.epochs
        if self.cut_off:  # also before the end is recorded
            wanted = [(job.run_key, "rule" if stops else None)] if ends else []
            require(self.rebuild() == wanted, f"after a rebuild, trial {job.number} ends differently at epoch {epoch}")
        if ends:
            self.record.end(job.run_key, "stopped" if stops else "complete")
            self.search.tell(Ended(job, "stopped" if stops else "complete", None))
        return ends

    @property
    def last_epochs(self) -> dict[int, int]:
        """The last epoch of each trial."""
        return {trial: epoch for trial, epoch, _ in self.decisions}


def drawn(rng: random.Random, trials: int, epochs: int, odd: Sequence[float]) -> Curves:
    """Return random curves; half of their values are from `odd`."""
    return [[rng.choice([rng.random(), rng.choice(odd)]) for _ in range(epochs)] for _ in range(trials)]
