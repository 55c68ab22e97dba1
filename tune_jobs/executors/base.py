"""The executor port: it starts tasks, tells what becomes of them, kills them, and says what there is room for."""

from collections.abc import Callable, Collection, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from search_spaces.settings import Resources
from tune_jobs.failures import Failure
from tune_jobs.system.signals import Signals
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task


@dataclass(frozen=True)
class Loss:
    """How a worker died."""

    failure: Failure
    reason: str


@dataclass(frozen=True)
class WorkerUp:
    """The worker of a task is there."""

    task: str


@dataclass(frozen=True)
class Reported:
    """A worker has told something of its attempt; it trains on once the next poll begins."""

    task: str
    report: Report


@dataclass(frozen=True)
class Gone:
    """The worker of a task writes no more; `loss` says how it died, `None` that it ended in good order."""

    task: str
    loss: Loss | None


Update = WorkerUp | Reported | Gone


class Executor(Protocol):
    """Runs tasks, each known by its `id`."""

    def now(self) -> float:
        """Seconds by a clock that does not jump; differences count."""

    def paused_s(self) -> float:
        """Seconds that this clock has left out because the driver was held: a stopped process, a frozen container."""

    def room(self, without: Collection[str] = ()) -> int:
        """Tasks that fit at a time, on all machines but these."""

    def start(self, task: Task, avoid: Collection[str] = ()) -> None:
        """Start a task as soon as there is room, on any machine but these."""

    def poll(self, timeout_s: float) -> Sequence[Update]:
        """What has happened, in order; nothing if nothing does within so long.

        Raises:
            ClusterError: If nothing can be run any more.
        """

    def stop(self, task: str) -> None:
        """End a task that has just reported, in good order; its worker may be used again."""

    def kill(self, task: str) -> None:
        """End a task at once, also one that hangs."""

    def close(self) -> None:
        """Kill what still runs, and wait until it is gone; nothing is polled afterwards."""


@dataclass(frozen=True)
class Order:
    """What an executor is opened for."""

    sweep: str
    resources: Resources
    address: str | None
    """Of a cluster; `None` for this machine alone."""

    signals: Signals
    say: Callable[[str], None] = lambda _: None
    """Is told what takes seconds until the executor is open."""


OpenExecutor = Callable[[Order], AbstractContextManager[Executor]]
"""Opens an executor, and takes down what it stands on when its context ends; the executor was closed before."""
