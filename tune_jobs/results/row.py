"""One trial as a row of every table."""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from search_spaces import TrialConfig, config_key
from search_spaces.domains import Scalar
from search_spaces.headline import headline
from tune_jobs.failures import Failure
from tune_jobs.results.columns import fields


@dataclass(frozen=True)
class Row:
    """One trial: its configuration, its last epoch, and its metrics at that epoch."""

    number: int
    run_key: str
    state: str
    reason: str | None
    failure: Failure | None
    epoch: int
    value: float | None
    metrics: dict[str, float]
    config: TrialConfig
    excluded: str | None = None
    """The reason why a user has excluded it, if any."""

    excluded_at: float | None = None
    repeat_of: str | None = None
    """The run key of the first trial of its configuration, if this is another seed of it."""

    repeat: int = 0
    """Which seed of its configuration it is: 0 for the first."""

    @cached_property
    def fields(self) -> dict[str, Scalar]:
        """Every field of its configuration; see `tune_jobs.results.columns`."""
        return fields(self.config)

    @cached_property
    def config_key(self) -> str:
        """The key of its configuration, without the seed."""
        return config_key(self.config)

    @property
    def counts(self) -> bool:
        """Whether its value may be compared: it has one, did not diverge or fail, and is not excluded."""
        whole = self.value is not None and math.isfinite(self.value) and self.state not in ("diverged", "failed")
        return whole and self.excluded is None

    def as_dict(self) -> dict[str, Any]:
        """Return the row for programs, with stable keys."""
        return {
            "trial": self.number,
            "run_key": self.run_key,
            "repeat_of": self.repeat_of,
            "seed": self.config.training.seed,
            "state": self.state,
            "reason": self.reason,
            "failure": self.failure,
            "excluded": self.excluded,
            "epoch": self.epoch,
            "epochs": self.config.training.epochs,
            "value": self.value,
            "metrics": self.metrics,
            "params": headline(self.config),
        }
