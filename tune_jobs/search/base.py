"""The interface of a search method: events in, operations out.

A search method decides which configurations to try and which trials to stop. It is pure: no Ray, no clock, no files and
no ledger. The driver writes the ledger, and passes in its content when a sweep resumes.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

from search_spaces import TrialConfig
from tune_jobs.events import Ended, EpochEnded, Failed, StopAsked
from tune_jobs.failures import Next
from tune_jobs.record.rows import SEARCH, Ask, AskOutcome, Attempt, Epoch, Role, Trial


@dataclass(frozen=True)
class Past:
    """Everything in a sweep's ledger that concerns its search."""

    asks: Sequence[Ask] = ()
    trials: Sequence[Trial] = ()
    attempts: Sequence[Attempt] = ()
    epochs: Sequence[Epoch] = ()
    out_of_memory: Collection[str] = ()
    """The run keys of trials that need more memory than any GPU has."""

    to_stop: Mapping[str, int] = field(default_factory=dict)
    """The `seq` of a user's request to stop a trial, by run key."""

    excluded: Collection[str] = ()
    """The run keys of trials that a user has excluded: the search must ignore their values."""

    exhausted: bool = False
    elsewhere: int = 0
    """Number of trials in the ledger that belong to another role: they use trial numbers and `budget.trials`."""


@dataclass(frozen=True)
class Asked:
    """One decision of the sampler, and its outcome; `config` is set for a new trial."""

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
    """The run key of the first trial of its configuration, if this is another seed of it."""

    unasked: bool = False
    """Whether it is a new trial without an ask, which the driver must record."""

    role: Role = SEARCH


@dataclass(frozen=True)
class Proposal:
    """The asks that were made, and the trial to start; `None` if nothing can start now."""

    asked: list[Asked] = field(default_factory=list)
    start: Start | None = None


StoppedBy = Literal["rule", "hand"]


@dataclass(frozen=True)
class Stop:
    """Operation: stop a trial, as the stopping rule or a user decided."""

    run_key: str
    by: StoppedBy


@dataclass(frozen=True)
class Follow:
    """Operation: what to do after a failed attempt (`tune_jobs.failures`)."""

    run_key: str
    follows: Next


Event = EpochEnded | StopAsked | Ended | Failed
Operation = Stop | Follow


@dataclass(frozen=True)
class Settled:
    """An attempt that ended just before the driver died, so that its end is not recorded."""

    run_key: str
    attempt: int
    stopped_by: StoppedBy | None
    """What stopped it; `None` if it had finished its last epoch."""


@dataclass(frozen=True)
class Judgement:
    """The finding that the remaining trials are unlikely to gain more than a margin."""

    left: int
    """Number of planned trials that have not ended."""

    within: float
    """The margin in the unit of the objective; a fraction for accuracies."""

    chance: float
    """Upper limit of the chance that they gain more."""

    confidence: float
    near: int
    """Number of complete trials within the margin of the best, including the best."""

    complete: int
    tried: int
    """Number of trials that have ended normally."""


class SearchMethod(Protocol):
    """Decides which configuration to try next, and which trial to stop."""

    @property
    def settled(self) -> Sequence[Settled]:
        """Ends of attempts that follow from the past; the driver must record them before anything else."""

    @property
    def exhausted(self) -> bool:
        """Whether every configuration of the space has been tried."""

    @property
    def gave_up(self) -> bool:
        """Whether no valid new configuration was found in a space too large to be exhausted."""

    @property
    def enough(self) -> Judgement | None:
        """Why no new trial starts although more are planned, if `stopping.enough` is reached.

        It depends only on the trials that have ended, so the end of a running trial can change it.
        """

    @property
    def done(self) -> bool:
        """Whether every trial has ended: all planned ones, or all of the space."""

    @property
    def idle(self) -> bool:
        """Whether nothing can start now; the loss of a running trial changes that."""

    @property
    def held_back(self) -> bool:
        """Whether only `budget.trials` prevents another trial from starting."""

    @property
    def only_alone_left(self) -> bool:
        """Whether all trials that can start now must run alone."""

    def propose(self, *, alone_too: bool = True) -> Proposal:
        """Return what to start next; trials that must run alone only with `alone_too`."""

    def tell(self, event: Event) -> list[Operation]:
        """Handle an event, and return what to do about it."""
