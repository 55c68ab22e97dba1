"""Typed events about the trials of a sweep, sent by the driver to the search and to observers."""

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
    """Whether it runs alone: on a whole GPU, or on the CPU without another trial of the sweep."""

    repeat_of: str | None = None
    """For another seed of a configuration: the run key of the configuration's first trial."""

    @property
    def place(self) -> tuple[str, int]:
        """The attempt's key in the ledger."""
        return self.run_key, self.attempt


@dataclass(frozen=True)
class Started:
    """An attempt was handed to a worker."""

    job: Job


@dataclass(frozen=True)
class Loading:
    """A worker received an attempt, and loads its images and model."""

    job: Job


@dataclass(frozen=True)
class Resumed:
    """A worker trains from the end of `epoch` (0: from the start); `note` says what was wrong with a checkpoint."""

    job: Job
    epoch: int
    note: str | None


@dataclass(frozen=True)
class EpochEnded:
    """An attempt completed an epoch."""

    job: Job
    epoch: int
    metrics: dict[str, float]


@dataclass(frozen=True)
class StopAsked:
    """The user asked a trial to stop after its current epoch."""

    job: Job


@dataclass(frozen=True)
class Failed:
    """An attempt failed; the search decides what follows."""

    job: Job
    failure: Failure
    reason: str


@dataclass(frozen=True)
class Ended:
    """An attempt ended and was recorded: its state, the reason, and what follows a failure."""

    job: Job
    state: State
    reason: str | None = None
    failure: Failure | None = None
    follows: Next | None = None


@dataclass(frozen=True)
class Released:
    """The worker of an ended attempt has stopped writing."""

    job: Job
    state: State


Event = Started | Loading | Resumed | EpochEnded | StopAsked | Ended | Released
"""The events that observers receive."""


class Observer(Protocol):
    """Receives events; does not influence the sweep."""

    def take(self, event: Event) -> None:
        """Receive an event."""
