"""What happens to the trials of a sweep, as typed values: told by the driver to the search and to whoever watches."""

from dataclasses import dataclass
from typing import Protocol

from search_spaces import TrialConfig
from tune_jobs.failures import Failure, Next
from tune_jobs.record.rows import State


@dataclass(frozen=True)
class Job:
    """One attempt at one trial."""

    run_key: str
    attempt: int
    number: int
    config: TrialConfig
    alone: bool = False
    """Whether it gets a whole GPU, or on the CPU no other trial of the sweep beside it."""

    repeat_of: str | None = None
    """The run key of the first trial of its configuration, where it is another seed of that."""

    @property
    def place(self) -> tuple[str, int]:
        """What the ledger knows the attempt by."""
        return self.run_key, self.attempt


@dataclass(frozen=True)
class Started:
    """An attempt was handed to a worker."""

    job: Job


@dataclass(frozen=True)
class Loading:
    """A worker has an attempt, and loads what that needs."""

    job: Job


@dataclass(frozen=True)
class Resumed:
    """A worker trains on after `epoch`, 0 from the start; `note` says what was wrong with a checkpoint."""

    job: Job
    epoch: int
    note: str | None


@dataclass(frozen=True)
class EpochEnded:
    """An attempt has done an epoch."""

    job: Job
    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class StopAsked:
    """A person asked that a trial end after its epoch."""

    job: Job


@dataclass(frozen=True)
class Failed:
    """An attempt failed; the search says what follows."""

    job: Job
    failure: Failure
    reason: str


@dataclass(frozen=True)
class Ended:
    """An attempt has ended, and is recorded: how, why, and what follows if it failed."""

    job: Job
    state: State
    reason: str | None = None
    failure: Failure | None = None
    follows: Next | None = None


@dataclass(frozen=True)
class Released:
    """The worker of an ended attempt writes no more."""

    job: Job
    state: State


Event = Started | Loading | Resumed | EpochEnded | StopAsked | Ended | Released
"""What observers are told."""


class Observer(Protocol):
    """Is told what happens; changes nothing of it."""

    def take(self, event: Event) -> None:
        """Note an event."""
