"""The search port: events in, operations out.

A search method decides what to try and what to stop. It is pure: no Ray, no clock, no files and no ledger; the driver
writes the record, and hands in what it holds when a sweep goes on.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from search_spaces import TrialConfig
from tune_jobs.events import Ended, EpochEnded, Failed, StopAsked
from tune_jobs.failures import Next
from tune_jobs.record.rows import SEARCH, Ask, AskOutcome, Attempt, Epoch, Role, Trial


@dataclass(frozen=True)
class Past:
    """All that a sweep's record holds for its search."""

    asks: Sequence[Ask] = ()
    trials: Sequence[Trial] = ()
    attempts: Sequence[Attempt] = ()
    epochs: Iterable[Epoch] = ()
    """In order of recording."""

    out_of_memory: Collection[str] = ()
    """The run keys of trials that no GPU has the memory for."""

    to_stop: Mapping[str, int] = field(default_factory=dict)
    """By run key: the `seq` of the request that a trial be stopped by hand."""

    excluded: Collection[str] = ()
    """The run keys of trials that are excluded by hand: their values are not to be seen."""

    exhausted: bool = False
    elsewhere: int = 0
    """Trials of the record that are another search's: they have numbers, and cost of `budget.trials`."""


@dataclass(frozen=True)
class Asked:
    """One decision of the sampler, and what became of it; `config` where it is a new trial."""

    decisions: dict[str, Any]
    outcome: AskOutcome
    run_key: str | None
    config: TrialConfig | None = None


@dataclass(frozen=True)
class Start:
    """Operation: start the next attempt at a trial."""

    run_key: str
    number: int
    config: TrialConfig
    alone: bool
    repeat_of: str | None = None
    """The run key of the first trial of its configuration, where it is another seed of that."""

    unasked: bool = False
    """Whether it is a new trial that nothing was asked for: it is to be recorded."""

    role: Role = SEARCH


@dataclass(frozen=True)
class Proposal:
    """What was asked on the way, and what to start; nothing where nothing is to be started now."""

    asked: list[Asked] = field(default_factory=list)
    start: Start | None = None


StoppedBy = Literal["rule", "hand"]


@dataclass(frozen=True)
class Stop:
    """Operation: stop a trial, which the stopping rule gives up, or a person does."""

    run_key: str
    by: StoppedBy


@dataclass(frozen=True)
class Follow:
    """Operation: what follows a failed attempt (`tune_jobs.failures`)."""

    run_key: str
    follows: Next


Event = EpochEnded | StopAsked | Ended | Failed
Operation = Stop | Follow


@dataclass(frozen=True)
class Settled:
    """An attempt whose end a dead driver had no time to record."""

    run_key: str
    attempt: int
    stopped_by: StoppedBy | None
    """Who had given it up; `None`: it had done its last epoch."""


@dataclass(frozen=True)
class Judgement:
    """That the trials that are left are unlikely to bring more than a margin."""

    left: int
    """Trials that have not ended, of those that were planned."""

    within: float
    """The margin, in the unit of the objective; a fraction for accuracies."""

    chance: float
    """At most so likely they gain more."""

    confidence: float
    near: int
    """Complete trials that are so close to the best, itself among them."""

    complete: int
    tried: int
    """Trials that have ended as the search goes."""


class SearchMethod(Protocol):
    """What to try next, and what to stop."""

    @property
    def settled(self) -> Sequence[Settled]:
        """Ends that are known from the past, and are to be recorded before anything else."""

    @property
    def exhausted(self) -> bool:
        """Whether every configuration of the space was tried."""

    @property
    def gave_up(self) -> bool:
        """Whether no valid configuration was found any more, in a space that has no end."""

    @property
    def enough(self) -> Judgement | None:
        """Why nothing new is started although more trials are planned, if `stopping.enough` is reached.

        It follows from the trials that have ended alone; a running one that ends can change it.
        """

    @property
    def done(self) -> bool:
        """Whether every trial has ended: the planned ones, or all that the space has."""

    @property
    def idle(self) -> bool:
        """Whether there is nothing to start now; a running trial that is lost changes that."""

    @property
    def held_back(self) -> bool:
        """Whether only `budget.trials` keeps another trial from being started."""

    @property
    def only_alone_left(self) -> bool:
        """Whether what can be started now is to run alone."""

    def propose(self, *, alone_too: bool = True) -> Proposal:
        """What to start next; trials that are to run alone only with `alone_too`."""

    def tell(self, event: Event) -> list[Operation]:
        """Take what happened; what is to be done about it."""
