"""The interface through which a driver records a sweep. `ledger` keeps the record on disk, `memory` in this process."""

from collections.abc import Mapping
from typing import Any, Protocol

from search_spaces import TrialConfig
from tune_jobs.failures import Failure
from tune_jobs.record.environment import Environment
from tune_jobs.record.requests import Asked
from tune_jobs.record.rows import SEARCH, AskOutcome, Role, State


class Whole(Protocol):
    """The entries of a record about the sweep as a whole."""

    exhausted: bool


class Record(Protocol):
    """Records the events of a sweep's trials; see `tune_jobs.record.ledger.Ledger` for each method."""

    @property
    def meta(self) -> Whole: ...
    def add_ask(self, decisions: Mapping[str, Any], outcome: AskOutcome, run_key: str | None) -> None: ...
    def add_trial(self, decisions: Mapping[str, Any], config: TrialConfig, run_key: str) -> None: ...
    def add_unasked(self, config: TrialConfig, run_key: str, *, repeat_of: str | None, role: Role = SEARCH) -> None: ...
    def start_attempt(self, run_key: str, *, gpus: float = 0, cpus: float = 0) -> int: ...
    def set_host(self, run_key: str, attempt: int, host: str) -> None: ...
    def set_origin(
        self,
        run_key: str,
        attempt: int,
        from_epoch: int,
        note: str | None,
        device: str,
        *,
        here: Environment | None = None,
    ) -> None: ...
    def add_epoch(self, run_key: str, attempt: int, epoch: int, metrics: Mapping[str, float]) -> None: ...
    def charge(self, seconds: Mapping[tuple[str, int], float], wall_s: float = 0.0) -> None: ...
    def seconds_before(self, run_key: str, attempt: int) -> float: ...
    def add_request(self, run_key: str, asked: Asked, why: str | None = None) -> None: ...
    def end_attempt(
        self,
        run_key: str,
        attempt: int,
        state: State,
        reason: str | None = None,
        failure: Failure | None = None,
    ) -> None: ...
