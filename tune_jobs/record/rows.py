"""The rows of a ledger as values: asks, trials, attempts, epochs. No files, no clocks."""

from dataclasses import dataclass, field
from typing import Any, Literal

from search_spaces import TrialConfig
from search_spaces.settings import Metric
from tune_jobs.failures import Failure
from tune_jobs.record.environment import Environment

ENDED = ("complete", "stopped", "diverged", "failed")
ENOUGH = "enough"
"""The cause of a stop by `stopping.enough`: nothing is wrong, and trials remain."""

State = Literal["running", "complete", "stopped", "diverged", "failed", "interrupted"]
"""The state of a trial: `running`, then `complete`, `stopped` (by the stopping rule or the user), `diverged`, `failed`.

An `interrupted` trial waits for another attempt. Why an attempt ended early is its failure class
(`tune_jobs.failures`).
"""

Role = Literal["search", "confirm"]
SEARCH: Role = "search"
"""The role of trials that the search starts."""

CONFIRM: Role = "confirm"
"""The role of trials that run the best configurations again with new seeds."""

CHAMPION = "champion"
"""Used instead of a trial's number: the run of the confirmation's champion. Also its alias in a model registry."""


def confirmed_metric(metric: str) -> Metric:
    """Return the objective of a confirmation's trials, on the test set, for the objective of the search."""
    return "test/accuracy" if metric.endswith("accuracy") else "test/loss"


BY_THE_RULE, BY_HAND = "by the stopping rule", "by hand"
"""The recorded reasons of stopped trials."""

AskOutcome = Literal["new", "duplicate", "infeasible"]


@dataclass(frozen=True)
class Home:
    """Where a ledger was when its sweep was last tracked. A copy of it is somewhere else, and so can be recognized."""

    path: str
    """The sweep's folder."""

    device: int
    inode: int
    """The inode of the ledger's file; a move within a disk keeps it."""


@dataclass(frozen=True)
class Ask:
    """One decision of the sampler, and its outcome."""

    number: int
    seq: int
    decisions: dict[str, Any]
    outcome: AskOutcome
    run_key: str | None


@dataclass(frozen=True)
class Epoch:
    """One epoch of one attempt."""

    seq: int
    run_key: str
    attempt: int
    epoch: int
    at: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Attempt:
    """One attempt at a trial: when it ran, why it ended, and which resources it held for how long.

    `from_epoch` is the epoch after which it resumed, `None` until that is known. `note` says what was wrong with a
    checkpoint. `seconds` is counted while the worker lives, by a monotonic clock. `host` is the machine, and `device`
    is `cpu` or the GPU's name; both are `None` until they are known.
    """

    run_key: str
    attempt: int
    state: State
    started: float
    ended: float | None
    reason: str | None
    failure: Failure | None
    from_epoch: int | None
    note: str | None
    seconds: float
    gpus: float
    cpus: float
    host: str | None
    device: str | None
    environment: Environment | None = None
    """The environment in which it trained; earlier versions did not record it."""


@dataclass(frozen=True)
class Trial:
    """One configuration with its seed; numbered from 1 in the order of first starts."""

    run_key: str
    number: int
    config: TrialConfig
    state: State
    ended_seq: int | None
    reason: str | None
    retried_after: int
    """Number of its attempts when a user last retried it."""

    repeat_of: str | None = None
    """The run key of the first trial of its configuration, if this is another seed of it."""

    role: Role = SEARCH
    """Whether it belongs to the search or to a confirmation."""


@dataclass(frozen=True)
class Usage:
    """What a sweep has cost so far, over all its runs, including failed attempts."""

    gpu_hours: float
    cpu_hours: float
    wall_hours: float
    trials: int
    """Number of trials that were started."""


@dataclass(frozen=True)
class Halted:
    """Why a sweep's last run ended early."""

    cause: str
    message: str

    @property
    def sentence(self) -> str:
        """The reason as a sentence, for people."""
        return self.message if self.cause == ENOUGH else f"It has stopped: {self.message}"


@dataclass(frozen=True)
class Champion:
    """The configuration that a finished confirmation supports."""

    run_key: str
    """The run whose weights represent it: the run with the first seed, so that no result influences the choice."""

    trial: int | None
    """The configuration's number in the search; `None` if it is from a file."""

    opened: str
    """When the test set was opened for the confirmation."""

    metric: str
    better: bool
    """Whether it was shown to be better than the baseline."""

    why: str = field(compare=False)
    """The reason for the choice, in sentences, whose wording may differ between versions."""

    numbers: dict[str, float]
    """The confirmation's results for it, by name."""
