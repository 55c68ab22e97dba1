"""Runs tasks in this process under a simulated clock: a sweep of hundreds of epochs takes a moment.

Work happens only in a poll: it trains the task whose report is next, and sets the clock to the time of that report. So
the same tasks, objective and durations give the same updates in the same order.
"""

import heapq
import itertools
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager

from tune_jobs.executors.base import Executor, Gone, Loss, OpenExecutor, Order, Reported, Update, WorkerUp
from tune_jobs.failures import Failure
from tune_jobs.worker.entrypoint import Objective, reports_of
from tune_jobs.worker.reports import Begun, EpochDone, Report
from tune_jobs.worker.task import Task

Duration = Callable[[Task, Report], float]
"""Seconds between a report and the previous one."""


class WorkerDied(BaseException):
    """Raised by an objective to simulate the death of its process."""

    def __init__(self, failure: Failure, reason: str, after_s: float = 0.0) -> None:
        super().__init__(failure, reason)
        self.loss = Loss(failure, reason)
        self.after_s = after_s


def epoch_seconds(task: Task, report: Report) -> float:
    """Return `epoch_s` from the metrics of an epoch; one second if missing."""
    del task
    return report.metrics.get("epoch_s", 1.0) if isinstance(report, EpochDone) else 0.0


class InlineExecutor:
    """Runs an objective; see `tune_jobs.executors.base.Executor`."""

    def __init__(self, objective: Objective, *, slots: int = 1, seconds: Duration = epoch_seconds) -> None:
        """Run up to `slots` tasks at a time, with the reports of `objective`."""
        self._objective = objective
        self._slots = slots
        self._seconds = seconds
        self._now = 0.0
        self._order = itertools.count()
        self._tasks: dict[str, tuple[Task, Iterator[Report]]] = {}
        self._waiting: list[Task] = []
        self._due: list[tuple[float, int, Update]] = []
        self._trains: str | None = None  # the task that makes the next report

    def now(self) -> float:
        """Return the seconds on the simulated clock."""
        return self._now

    def paused_s(self) -> float:
        """Return 0: tasks pause with the driver."""
        return 0.0

    def room(self, without: Collection[str] = ()) -> int:
        """Return the number of slots; the only machine is this one."""
        del without
        return self._slots

    def start(self, task: Task, avoid: Collection[str] = ()) -> None:
        """Start a task when a slot is free."""
        del avoid
        self._waiting.append(task)
        self._fill()

    def poll(self, timeout_s: float) -> Sequence[Update]:
        """Return the next update; none if the clock does not reach it within `timeout_s`."""
        if self._trains is not None:
            task_id, self._trains = self._trains, None
            self._train(task_id)
        if not self._due or self._due[0][0] > self._now + timeout_s:
            self._now += timeout_s
            return []
        self._now, _, update = heapq.heappop(self._due)
        if isinstance(update, Reported):
            self._trains = update.task
        elif isinstance(update, Gone):
            del self._tasks[update.task]
            self._fill()
        return [update]

    def stop(self, task: str) -> None:
        """End a task; its slot is free immediately."""
        self._end(task, None)

    def kill(self, task: str) -> None:
        """End a task, as if its process had died."""
        self._end(task, Loss("lost_worker", "the worker process died"))

    def close(self) -> None:
        """Drop every task."""
        self._tasks.clear()
        self._waiting.clear()
        self._due.clear()
        self._trains = None

    def _fill(self) -> None:
        while self._waiting and len(self._tasks) < self._slots:
            task = self._waiting.pop(0)
            reports = itertools.chain([Begun(None, "inline", shared=True)], reports_of(task, self._objective))
            self._tasks[task.id] = task, reports
            self._tell(0.0, WorkerUp(task.id))
            self._train(task.id)

    def _train(self, task_id: str) -> None:
        if task_id not in self._tasks:
            return
        task, reports = self._tasks[task_id]
        try:
            report = next(reports, None)
        except WorkerDied as death:
            self._tell(death.after_s, Gone(task_id, death.loss))
            return
        if report is None:
            self._tell(0.0, Gone(task_id, None))
        else:
            self._tell(self._seconds(task, report), Reported(task_id, report))

    def _end(self, task_id: str, loss: Loss | None) -> None:
        self._waiting = [task for task in self._waiting if task.id != task_id]
        if task_id not in self._tasks:
            return
        self._due = [entry for entry in self._due if entry[2].task != task_id]
        heapq.heapify(self._due)
        if self._trains == task_id:
            self._trains = None
        self._tell(0.0, Gone(task_id, loss))

    def _tell(self, after_s: float, update: Update) -> None:
        heapq.heappush(self._due, (self._now + after_s, next(self._order), update))


def open_inline(objective: Objective, *, slots: int = 1) -> OpenExecutor:
    """Return what opens an `InlineExecutor` for a sweep; see `tune_jobs.executors.registry.add_executor`."""

    @contextmanager
    def opened(_: Order) -> Iterator[Executor]:
        yield InlineExecutor(objective, slots=slots)

    return opened
