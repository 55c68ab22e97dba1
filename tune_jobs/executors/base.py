"""The executor interface: it starts tasks, reports their progress, kills them, and says how many fit at a time."""

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
    """The worker of a task has started."""

    task: str


@dataclass(frozen=True)
class Reported:
    """A worker has sent a report; it continues training when the next poll starts."""

    task: str
    report: Report


@dataclass(frozen=True)
class Gone:
    """The worker of a task has ended and writes no more. `loss` says how it died; `None` if it ended cleanly."""

    task: str
    loss: Loss | None


Update = WorkerUp | Reported | Gone


class Executor(Protocol):
    """Runs tasks, each known by its `id`."""

    def now(self) -> float:
        """Return seconds of a clock that never jumps; only differences are meaningful."""

    def paused_s(self) -> float:
        """Return the seconds that this clock skipped while the driver was paused, by Ctrl-Z or a frozen container."""

    def room(self, without: Collection[str] = ()) -> int:
        """Return how many tasks fit at a time on all machines except these."""

    def start(self, task: Task, avoid: Collection[str] = ()) -> None:
        """Start a task as soon as a machine except these has room."""

    def poll(self, timeout_s: float) -> Sequence[Update]:
        """Return the updates since the last poll, in order; empty if none arrives within `timeout_s`.

        Raises:
            ClusterError: If no task can run any more.
        """

    def stop(self, task: str) -> None:
        """End a task that has just reported, cleanly; its worker may be reused."""

    def kill(self, task: str) -> None:
        """End a task immediately, even if it hangs."""

    def close(self) -> None:
        """Kill the running tasks, and wait until they have ended. The executor is not polled afterwards."""


@dataclass(frozen=True)
class Order:
    """The arguments for opening an executor."""

    sweep: str
    resources: Resources
    address: str | None
    """Address of a cluster; `None` for this machine only."""

    signals: Signals
    say: Callable[[str], None] = lambda _: None
    """Called with a message before each step that takes seconds."""


OpenExecutor = Callable[[Order], AbstractContextManager[Executor]]
"""Opens an executor. Close the executor before the context ends, which shuts down its platform."""
