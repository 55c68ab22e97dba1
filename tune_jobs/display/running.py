"""The running trials, from events: the progress and the speed of each."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from rich.table import Table

from tune_jobs.display.tables import cell
from tune_jobs.events import Ended, EpochEnded, Event, Job, Resumed, Started
from tune_jobs.results.columns import Column, fields
from tune_jobs.results.summary import Summary
from tune_jobs.results.words import duration, shown


@dataclass
class RunningTrial:
    """A running trial."""

    job: Job
    since: float
    """Start of its attempt, or end of its last epoch."""

    epoch: int = 0
    value: float | None = None
    epoch_s: float | None = None
    spoke: float = 0.0
    """Time of the last line about it."""

    @property
    def epochs(self) -> int:
        """Number of epochs that it should run."""
        return self.job.config.training.epochs

    def where(self) -> str:
        """Return its progress as `epoch 3/9`."""
        return f"epoch {self.epoch}/{self.epochs}"


@dataclass
class Running:
    """The running trials of a run, updated by events. Times are seconds of the clock `now`."""

    metric: str = ""
    columns: Sequence[Column] = ()
    now: Callable[[], float] = time.monotonic
    trials: dict[int, RunningTrial] = field(default_factory=dict)
    """Running trials by number."""

    _first: float | None = None
    _epochs: int = 0
    _of_ended: list[int] = field(default_factory=list)

    def take(self, event: Event) -> RunningTrial | None:
        """Update from an event; return its trial in its latest state."""
        number, now = event.job.number, self.now()
        if isinstance(event, Started):
            self.trials[number] = RunningTrial(event.job, now, spoke=now)
            self._first = now if self._first is None else self._first
        found = self.trials.get(number)
        if found is None:
            return None
        if isinstance(event, Resumed):
            found.epoch, found.since = event.epoch, now
        elif isinstance(event, EpochEnded):
            self._epochs += 1
            found.epoch, found.value = event.epoch, event.metrics.get(self.metric)
            found.epoch_s, found.since = event.metrics.get("epoch_s", now - found.since), now
        elif isinstance(event, Ended):
            del self.trials[number]
            if event.state in ("complete", "stopped"):
                self._of_ended.append(found.epoch)
        return found

    def left_s(self, summary: Summary) -> float | None:
        """Estimate the seconds until the sweep ends, from the speed so far and the mean length of ended trials."""
        running = list(self.trials.values())
        if not self._epochs or self._first is None or summary.planned is None:
            return None
        whole = max((trial.epochs for trial in running), default=0)
        each = sum(self._of_ended) / len(self._of_ended) if self._of_ended else whole
        epochs = summary.to_start(len(running)) * each + sum(
            max(0.0, max(each, trial.epoch + 1) - trial.epoch) for trial in running
        )
        return epochs * (self.now() - self._first) / self._epochs

    def table(self) -> Table | None:
        """Return a table with one row per running trial; `None` if no trial is running."""
        running = sorted(self.trials.values(), key=lambda trial: trial.job.number)
        if not running:
            return None
        table = Table(box=None, pad_edge=False, header_style="bold cyan")
        names = ("running", "epoch", self.metric, "per epoch", "this epoch", *(column.name for column in self.columns))
        for name in names:
            table.add_column(name, justify="right", no_wrap=True)
        for trial in running:
            values = fields(trial.job.config)
            table.add_row(
                str(trial.job.number),
                f"{trial.epoch}/{trial.epochs}",
                shown(trial.value, self.metric),
                "-" if trial.epoch_s is None else duration(trial.epoch_s),
                duration(round(self.now() - trial.since)),
                *(cell(values.get(column.key)) for column in self.columns),
            )
        return table
