"""A scripted executor whose updates the test creates itself, and a controller that uses it."""

import sys
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from search_spaces import SweepSpec, parse_sweep
from search_spaces.settings import Resources
from tune_jobs.driver.controller import Controller
from tune_jobs.driver.past import past_of
from tune_jobs.driver.trials import task_of
from tune_jobs.events import Ended, Event, Released, Started, StopAsked
from tune_jobs.executors.base import Gone, Loss, Reported, Update, WorkerUp
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.search.queue import Search
from tune_jobs.worker.reports import Begun, EpochDone, Report, ResumedFrom
from tune_jobs.worker.task import Task

SPEC = parse_sweep("""
name: by-hand
space:
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5, 0.75, 1]}, k: 4}}
  training: {epochs: 3}
""")
ONE_AT_A_TIME = replace(SPEC, resources=Resources(max_concurrent=1))

BEGUN = Begun(None, "n", shared=True)
FROM_THE_START = ResumedFrom(0, None, "cpu")
DEAD = Loss("lost_worker", "the worker process died")


class ByHand:
    """Starts no processes; its clock moves only when the test sets it."""

    def __init__(self, room: Callable[[Collection[str]], int] = lambda _: sys.maxsize) -> None:
        self.clock = 1_000_000.0
        self.paused = 0.0
        self.started: list[tuple[Task, tuple[str, ...]]] = []
        self.stopped: list[str] = []
        self.killed: list[str] = []
        self._room = room

    def now(self) -> float:
        return self.clock

    def paused_s(self) -> float:
        return self.paused

    def room(self, without: Collection[str] = ()) -> int:
        return self._room(without)

    def start(self, task: Task, avoid: Collection[str] = ()) -> None:
        self.started.append((task, tuple(sorted(avoid))))

    def poll(self, timeout_s: float) -> Sequence[Update]:
        raise AssertionError(timeout_s)

    def stop(self, task: str) -> None:
        self.stopped.append(task)

    def kill(self, task: str) -> None:
        self.killed.append(task)

    def close(self) -> None:
        """Nothing runs."""


class Hand:
    """A controller and the events it sent; trials are identified by their number."""

    def __init__(
        self,
        tmp_path: Path,
        spec: SweepSpec = SPEC,
        room: Callable[[Collection[str]], int] = lambda _: sys.maxsize,
        **options: Any,
    ) -> None:
        self.executor = ByHand(room)
        self.ledger = Ledger(tmp_path / "ledger.db", create=True)
        self.told: list[tuple[str, int, str | None]] = []
        self.stops = 0
        task = partial(task_of, spec, SweepFolder(tmp_path))
        search = Search(spec, past_of(self.ledger))
        self.controller = Controller(
            spec, search, self.ledger, self.executor, task, observers=[self], begin_stop=self.begin_stop, **options
        )

    def take(self, event: Event) -> None:
        if isinstance(event, Started | Ended | Released):
            state = None if isinstance(event, Started) else event.state
            self.told.append((type(event).__name__, event.job.number, state))
        elif isinstance(event, StopAsked):
            self.told.append(("StopAsked", event.job.number, None))

    def begin_stop(self) -> None:
        self.stops += 1

    @property
    def started(self) -> list[tuple[int, int]]:
        """Trial number and attempt of every task so far, in order."""
        numbers = {trial.run_key: trial.number for trial in self.ledger.trials()}
        return [(numbers[task.run_key], task.attempt) for task, _ in self.executor.started]

    def task(self, number: int) -> str:
        """The last task of a trial."""
        key = next(trial.run_key for trial in self.ledger.trials() if trial.number == number)
        return [task.id for task, _ in self.executor.started if task.run_key == key][-1]

    def up(self, number: int) -> None:
        self.controller.take(WorkerUp(self.task(number)))

    def report(self, number: int, *reports: Report) -> None:
        for report in reports:
            self.controller.take(Reported(self.task(number), report))

    def gone(self, number: int, loss: Loss | None = None) -> None:
        self.controller.take(Gone(self.task(number), loss))

    def complete(self, number: int) -> None:
        """Let a trial finish its epochs, and its worker end."""
        self.report(number, BEGUN, ResumedFrom(0, None, "cpu"), *map(epoch, (1, 2, 3)))
        self.gone(number)

    def passes(self, seconds: float) -> None:
        self.executor.clock += seconds
        self.controller.tick(at_once=True)


def epoch(number: int, seconds: float = 0.0) -> EpochDone:
    return EpochDone(number, {"val/accuracy": 0.5, "epoch_s": seconds})
