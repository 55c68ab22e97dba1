"""What a record holds, as values: asks, trials, attempts, epochs. Pure: neither files nor clocks."""

from dataclasses import dataclass
from typing import Any, Literal

from search_spaces import TrialConfig
from search_spaces.settings import Metric
from tune_jobs.failures import Failure
from tune_jobs.record.environment import Environment

ENDED = ("complete", "stopped", "diverged", "failed")
ENOUGH = "enough"
"""The cause of an end with `stopping.enough`: all is well, and trials are left."""

State = Literal["running", "complete", "stopped", "diverged", "failed", "interrupted"]
"""Of a trial: `running`, then `complete`, `stopped` (by the stopping rule, or by hand), `diverged` or `failed`.

`interrupted` is due for another attempt. What made an attempt end early is its failure class (`tune_jobs.failures`).
"""

Role = Literal["search", "confirm"]
SEARCH: Role = "search"
"""The role of trials that the search begins."""

CONFIRM: Role = "confirm"
"""That of trials that try the best ones again with new seeds."""

CHAMPION = "champion"
"""In place of a trial's number: the run of the confirmation's champion. Its alias in a model registry, too."""


def confirmed_metric(metric: str) -> Metric:
    """The objective of a confirmation's trials, which are tested, by that of the search."""
    return "test/accuracy" if metric.endswith("accuracy") else "test/loss"


BY_THE_RULE, BY_HAND = "by the stopping rule", "by hand"
"""The reasons of stopped trials."""

AskOutcome = Literal["new", "duplicate", "infeasible"]


@dataclass(frozen=True)
class Home:
    """Where a ledger was when its sweep was last tracked: a copy of it finds itself elsewhere."""

    path: str
    """The sweep's folder."""

    device: int
    inode: int
    """Of the ledger's file, which a move within a disk keeps."""


@dataclass(frozen=True)
class Ask:
    """One decision of the sampler, and what became of it."""

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
    """One try at a trial: when, why it ended, and what it held for how long.

    `from_epoch` is the epoch after which it went on, `None` while that is not known; `note` says what was wrong with
    a checkpoint. `seconds` are counted while the worker lives, by a clock that does not jump. `host` is the machine and
    `device` `cpu` or the GPU's name, as far as they are known.
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
    """In what it trained; earlier programs recorded none."""


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
    """Its attempts at the time it was last asked for again by hand."""

    repeat_of: str | None = None
    """The run key of the first trial of its configuration, where it is another seed of that."""

    role: Role = SEARCH
    """What it is for."""


@dataclass(frozen=True)
class Usage:
    """What a sweep has cost so far, over all its runs; failed attempts included."""

    gpu_hours: float
    cpu_hours: float
    wall_hours: float
    trials: int
    """Trials that were started."""


@dataclass(frozen=True)
class Halted:
    """Why a sweep's last run ended early."""

    cause: str
    message: str

    @property
    def sentence(self) -> str:
        """That, for people."""
        return self.message if self.cause == ENOUGH else f"It has stopped: {self.message}"


@dataclass(frozen=True)
class Champion:
    """The configuration that a finished confirmation supports."""

    run_key: str
    """The run whose weights stand for it: that with the first seed, which no result chose."""

    trial: int | None
    """The configuration's number in the search; `None` where it is from a file."""

    opened: str
    """When the test set was opened for the confirmation."""

    metric: str
    better: bool
    """Whether it was shown to be better than the baseline."""

    why: str
    """In sentences."""

    numbers: dict[str, float]
    """What the confirmation found of it, by name."""
