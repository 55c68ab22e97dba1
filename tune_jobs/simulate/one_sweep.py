"""Simulates one sweep: the driver's controller and the real search, on recorded curves with a virtual clock."""

import math
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from search_spaces import SweepSpec
from tune_jobs.driver.controller import Controller
from tune_jobs.driver.limits import Halt, halt_for_budget
from tune_jobs.events import Ended, EpochEnded, Event, Job, Started
from tune_jobs.executors.base import Executor
from tune_jobs.executors.inline import InlineExecutor
from tune_jobs.record.memory import MemoryRecord
from tune_jobs.search.base import Event as SearchEvent
from tune_jobs.search.base import Operation, Stop
from tune_jobs.search.queue import Search
from tune_jobs.simulate.playback import Playback
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task

_NOWHERE = Path("played")
"""A path that is never used: no file is read or written."""


@dataclass
class Course:
    """The results of a sweep, by its cost so far."""

    spent: float = 0.0
    started: list[float] = field(default_factory=list)
    complete: list[tuple[float, float]] = field(default_factory=list)
    """Cost of the sweep and objective at the end of each complete trial."""

    stopped: list[tuple[int, float, float]] = field(default_factory=list)
    """Run, cost and last objective of each stopped trial, in order."""

    def best(self, budget: float, goal: str) -> float | None:
        """Return the best objective of the trials that were complete within a budget."""
        values = [value for cost, value in self.complete if cost <= budget]
        return (max if goal == "maximize" else min)(values, default=None)


class PlayedSearch(Search):
    """The sweep's search, but it switches sooner to unused configurations.

    In a real sweep, 200 proposals take no time compared with a trial. Here proposals take all the time, and most are
    configurations without a run or already used: vgg-hybrid with 12 recorded configurations took 3 s with 20, and over
    2 min with 200.
    """

    misses_in_a_row = 20

    def __init__(self, spec: SweepSpec, cut: int | None = None) -> None:
        """With `cut`, stop every trial at this epoch."""
        super().__init__(spec)
        self._cut = cut

    def tell(self, event: SearchEvent) -> list[Operation]:
        """Handle an event, and stop a trial at the cut."""
        operations = super().tell(event)
        if isinstance(event, EpochEnded) and event.epoch == self._cut:
            return [Stop(event.job.run_key, "rule")]
        return operations


class _Watch:
    """Counts the cost of the epochs."""

    def __init__(self, playback: Playback) -> None:
        self.course = Course()
        self._playback = playback
        self._last: dict[str, tuple[float, float]] = {}  # by run_key: cost of the trial, objective

    def take(self, event: Event) -> None:
        course, key = self.course, event.job.run_key
        if isinstance(event, EpochEnded):
            cost = event.metrics["epoch_s"]
            course.spent += cost
            before, _ = self._last.get(key, (0.0, math.nan))
            self._last[key] = before + cost, event.metrics[self._playback.metric]
        elif isinstance(event, Started):
            course.started.append(course.spent)
        elif isinstance(event, Ended):
            cost, value = self._last.pop(key, (0.0, math.nan))
            if event.state == "complete":
                course.complete.append((course.spent, value))
            elif event.state == "stopped":
                course.stopped.append((self._playback.run_of(event.job.config), cost, value))


def play(
    spec: SweepSpec,
    playback: Playback,
    *,
    workers: int,
    most: float = math.inf,
    cut: int | None = None,
    record: MemoryRecord | None = None,
    executor: Executor | None = None,
) -> Course:
    """Simulate a sweep to its end, or until it has cost `most`.

    Args:
        spec: The sweep; its search, stopping rule and budget are used.
        playback: Provides the reports of its trials.
        workers: Number of trials at a time.
        most: Maximum cost of all epochs together.
        cut: Stop every trial at this epoch.
        record: Receives what a driver would write to the ledger.
        executor: Runs the trials; one with a virtual clock if `None`.
    """
    record = record or MemoryRecord()
    search = PlayedSearch(spec, cut)
    watch = _Watch(playback)

    def until_stopped(task: Task) -> Iterator[Report]:
        for report in playback(task):
            yield report
            if controller.stopping:
                return

    def check() -> Halt | None:
        return halt_for_budget(spec, record.usage())

    limited = any(getattr(spec.budget, unit) is not None for unit in ("gpu_hours", "cpu_hours", "wall_hours"))
    executor = executor or InlineExecutor(until_stopped, slots=workers)
    controller = Controller(
        spec,
        search,
        record,
        executor,
        lambda job: _task(spec, job),
        observers=[watch],
        check=check if limited else lambda: None,
    )
    while watch.course.spent < most:
        controller.start_more()
        if controller.over():
            break
        for update in executor.poll(math.inf):
            controller.take(update)
        controller.tick()
    executor.close()
    return watch.course


def _task(spec: SweepSpec, job: Job) -> Task:
    return Task(
        run_key=job.run_key,
        attempt=job.attempt,
        config=job.config,
        alone=job.alone,
        folder=_NOWHERE,
        resume_from=(),
        stop_file=_NOWHERE,
        ledger=_NOWHERE,
        evaluation=spec.evaluation,
        device="cpu",
        threads=1,
        checkpoint_every_s=math.inf,
        keep_last=False,
    )


@dataclass(frozen=True)
class Finished:
    """The result of training some trials further."""

    value: float | None
    spent: float
    started: int
    complete: int


def finish_best(
    course: Course, playback: Playback, budget: float, goal: str, *, cut: int, keep: int, epochs: int
) -> Finished:
    """Train trials for `cut` epochs, then finish the best `keep` of them; start as many as the budget allows.

    Args:
        course: A sweep whose trials were all stopped at `cut`, in this order.
        playback: Its runs.
        budget: The budget, in the unit of the cost.
        goal: `maximize` or `minimize`.
        cut: See above.
        keep: See above.
        epochs: Number of epochs of a trial.
    """
    sign = -1 if goal == "maximize" else 1
    found, spent = Finished(None, 0.0, 0, 0), 0.0
    for count, (_, cost, _) in enumerate(course.stopped, 1):
        spent += cost
        chosen = [run for run, _, _ in sorted(course.stopped[:count], key=lambda trial: sign * trial[2])[:keep]]
        whole = spent + sum(playback.cost(run, cut, epochs) for run in chosen)
        if whole > budget:
            break
        values = [value for run in chosen if math.isfinite(value := playback.value(run, epochs))]
        best = min(values, key=lambda value: sign * value, default=None)
        found = Finished(best, whole, count, len(values))
    return found
