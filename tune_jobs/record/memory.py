"""An in-memory ledger for simulated sweeps, which are not kept. It is a hundred times as fast."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from search_spaces import TrialConfig
from tune_jobs.failures import Failure
from tune_jobs.record.environment import Environment
from tune_jobs.record.requests import Asked
from tune_jobs.record.rows import ENDED, SEARCH, Ask, AskOutcome, Attempt, Epoch, Role, State, Trial, Usage


@dataclass
class _Meta:
    exhausted: bool = False


class MemoryRecord:
    """An in-memory `tune_jobs.record.port.Record`. Its wall clock is always 0."""

    def __init__(self) -> None:
        self.meta = _Meta()
        self.wall_s = 0.0
        self._seq = 0
        self._asks: list[Ask] = []
        self._trials: dict[str, Trial] = {}
        self._attempts: dict[tuple[str, int], Attempt] = {}
        self._held_s: dict[tuple[str, int], float] = {}
        self._epochs: dict[tuple[str, int, int], tuple[int, Mapping[str, float]]] = {}

    def _next(self) -> int:
        self._seq += 1
        return self._seq

    def add_ask(self, decisions: Mapping[str, Any], outcome: AskOutcome, run_key: str | None) -> None:
        """Note a decision of the sampler."""
        self._asks.append(Ask(len(self._asks), self._next(), dict(decisions), outcome, run_key))

    def add_trial(self, decisions: Mapping[str, Any], config: TrialConfig, run_key: str) -> None:
        """Note a `new` ask and its trial."""
        self.add_ask(decisions, "new", run_key)
        self._trials[run_key] = Trial(run_key, len(self._trials) + 1, config, "interrupted", None, None, 0)

    def add_unasked(self, config: TrialConfig, run_key: str, *, repeat_of: str | None, role: Role = SEARCH) -> None:
        """Note a trial without an ask."""
        self._next()
        number = len(self._trials) + 1
        self._trials[run_key] = Trial(run_key, number, config, "interrupted", None, None, 0, repeat_of, role)

    def start_attempt(self, run_key: str, *, gpus: float = 0, cpus: float = 0) -> int:
        """Note a new attempt at a trial, and return its number, from 1."""
        self._next()
        number = 1
        while (run_key, number) in self._attempts:
            number += 1
        self._attempts[run_key, number] = Attempt(
            run_key, number, "running", 0.0, None, None, None, None, None, 0.0, gpus, cpus, None, None
        )
        self._trials[run_key] = replace(self._trials[run_key], state="running", reason=None)
        return number

    def set_host(self, run_key: str, attempt: int, host: str) -> None:
        """Note on which machine an attempt runs."""
        self._change(run_key, attempt, host=host)

    def set_origin(
        self,
        run_key: str,
        attempt: int,
        from_epoch: int,
        note: str | None,
        device: str,
        *,
        here: Environment | None = None,
    ) -> None:
        """Note where an attempt resumes."""
        self._change(run_key, attempt, from_epoch=from_epoch, note=note, device=device, environment=here)

    def _change(self, run_key: str, attempt: int, **fields: Any) -> int:  # noqa: ANN401 - an attempt's fields
        self._attempts[run_key, attempt] = replace(self._attempts[run_key, attempt], **fields)
        return self._next()

    def add_epoch(self, run_key: str, attempt: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Note an epoch; an epoch that is already noted stays unchanged."""
        self._epochs.setdefault((run_key, attempt, epoch), (self._next(), metrics))

    def charge(self, seconds: Mapping[tuple[str, int], float], wall_s: float = 0.0) -> None:
        """Note how long attempts have held their resources, and add to the wall time."""
        self._held_s.update(seconds)
        self.wall_s += wall_s
        self._next()

    def seconds_before(self, run_key: str, attempt: int) -> float:
        """Return how many seconds earlier attempts held their resources."""
        return sum(self._held_s.get((run_key, number), 0.0) for number in range(1, attempt))

    def add_request(self, run_key: str, asked: Asked, why: str | None = None) -> None:
        """Only count the event: a simulated sweep has no users."""
        del run_key, asked, why
        self._next()

    def end_attempt(
        self, run_key: str, attempt: int, state: State, reason: str | None = None, failure: Failure | None = None
    ) -> None:
        """Note how an attempt, and with it the trial, ended."""
        seq = self._change(run_key, attempt, state=state, ended=0.0, reason=reason, failure=failure)
        ended = seq if state in ENDED else None
        self._trials[run_key] = replace(self._trials[run_key], state=state, ended_seq=ended, reason=reason)

    def usage(self) -> Usage:
        """Return what the sweep has cost so far."""
        held = [(self._held_s.get(place, 0.0), attempt) for place, attempt in self._attempts.items()]
        gpu_s, cpu_s = (sum(getattr(attempt, field) * s for s, attempt in held) for field in ("gpus", "cpus"))
        return Usage(gpu_s / 3600, cpu_s / 3600, self.wall_s / 3600, len({key for key, _ in self._attempts}))

    def asks(self) -> list[Ask]:
        """Return all asks, in order."""
        return list(self._asks)

    def trials(self) -> list[Trial]:
        """Return all trials, sorted by number."""
        return list(self._trials.values())

    def attempts(self) -> list[Attempt]:
        """Return all attempts, sorted by trial and number."""
        number = {key: trial.number for key, trial in self._trials.items()}
        places = sorted(self._attempts, key=lambda place: (number[place[0]], place[1]))
        return [replace(self._attempts[place], seconds=self._held_s.get(place, 0.0)) for place in places]

    def epochs(self) -> list[Epoch]:
        """Return all epochs, in order."""
        return [
            Epoch(seq, key, attempt, epoch, 0.0, dict(metrics))
            for (key, attempt, epoch), (seq, metrics) in self._epochs.items()
        ]
