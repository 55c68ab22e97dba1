"""What a sweep has found so far, read from its ledger: the leaderboard, and the best trial."""

import contextlib
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from search_spaces import SpecError, TrialConfig
from search_spaces.domains import Scalar
from search_spaces.headline import headline
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.failures import Failure, counted
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import Request, excluded
from tune_jobs.record.rows import ENDED, ENOUGH, Epoch, Halted, Trial, Usage
from tune_jobs.results.columns import Column, constants, fields, possible, varying


@dataclass(frozen=True)
class Row:
    """One trial: its configuration, how far it came, and its numbers at that epoch."""

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
    """Why a person has left it out, if one has."""

    excluded_at: float | None = None

    @cached_property
    def fields(self) -> dict[str, Scalar]:
        """Every field of its configuration; see `tune_jobs.results.columns`."""
        return fields(self.config)

    @property
    def counts(self) -> bool:
        """Whether its value may be compared: it has one, did not diverge or fail, and is not excluded."""
        whole = self.value is not None and math.isfinite(self.value) and self.state not in ("diverged", "failed")
        return whole and self.excluded is None

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        return {
            "trial": self.number,
            "run_key": self.run_key,
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


@dataclass(frozen=True)
class Summary:
    """A sweep's state: what was planned, and every trial, the best first."""

    name: str
    metric: str
    goal: Literal["maximize", "minimize"]
    planned: int | None
    used: Usage
    budget: dict[str, float]
    """The limits that are set: `gpu_hours` and so on."""

    halted: Halted | None
    """Why its last run ended early."""

    rows: list[Row]

    exhausted: bool = False
    """Whether every configuration of the space has been tried."""

    beside: Sequence[TrialConfig] = ()
    """Configurations that it may try, too: what differs among these varies."""

    compared_at: int | None = None
    """Where no trial is complete: the epoch at which trials are ranked."""

    @cached_property
    def columns(self) -> list[Column]:
        """What differs between trials."""
        return varying((row.config for row in self.shown), self.beside)

    @cached_property
    def constants(self) -> dict[str, Scalar]:
        """What all trials have in common, by name, of what people compare."""
        return constants([row.config for row in self.shown], self.columns)

    @property
    def ranking(self) -> str | None:
        """How trials are ranked, where that has to be said."""
        if self.compared_at is None:
            return None
        return f"No trial is complete yet; ranked by {self.metric} at epoch {self.compared_at}."

    def as_dict(self, columns: Sequence[Column] | None = None) -> dict[str, Any]:
        """For programs: stable keys; `columns` are those that vary, or others."""
        chosen = self.columns if columns is None else columns
        trials = [
            {**row.as_dict(), "varying": {column.name: row.fields.get(column.key) for column in chosen}}
            for row in self.rows
        ]
        return {
            "sweep": self.name,
            "metric": self.metric,
            "goal": self.goal,
            "planned": self.planned,
            "used": asdict(self.used),
            "budget": self.budget,
            "halted": asdict(self.halted) if self.halted else None,
            "failures": self.failures(),
            "ranked_at_epoch": self.compared_at,
            "columns": [column.name for column in chosen],
            "constants": self.constants,
            "trials": trials,
        }

    @property
    def shown(self) -> list[Row]:
        """The trials but for excluded ones."""
        return [row for row in self.rows if row.excluded is None]

    @property
    def excluded(self) -> list[Row]:
        """The excluded ones, by number."""
        return sorted((row for row in self.rows if row.excluded is not None), key=lambda row: row.number)

    @property
    def exclusions(self) -> str | None:
        """Which trials are excluded, in a line: `1 trial is excluded: trial 3 (why)`."""
        if not self.excluded:
            return None
        count = "1 trial is" if len(self.excluded) == 1 else f"{len(self.excluded)} trials are"
        return f"{count} excluded: {', '.join(f'trial {row.number} ({row.excluded})' for row in self.excluded)}"

    def trial(self, name: str) -> Row:
        """A trial by its number or run key.

        Raises:
            UsageError: If there is no such trial.
        """
        row = next((row for row in self.rows if name in (str(row.number), row.run_key)), None)
        if row is None:
            raise UsageError(
                f"{self.name} has no trial {name!r}; it has trials 1 to {len(self.rows)}: `convnn show {self.name}`."
            )
        return row

    def failures(self) -> dict[str, int]:
        """How many trials failed or diverged, by class."""
        return counted(row.failure for row in self.shown)

    @property
    def best(self) -> Row | None:
        """The best complete trial; where none is complete, the best at the epoch at which they can be compared."""
        return self.rows[0] if self.rows and self.rows[0].counts else None

    @property
    def whole(self) -> bool:
        """Whether it is done: every trial that was planned has ended, or all that the space has."""
        return self.ended == len(self.rows) and (self.exhausted or self.ended == self.planned)

    @property
    def ended(self) -> int:
        """Trials that run no more: they have ended, or are excluded."""
        return self.count(*ENDED) + len(self.excluded)

    def count(self, *states: str) -> int:
        """Trials in any of these states, but for excluded ones."""
        return sum(row.state in states for row in self.shown)


def summary(name: str, ledger: Ledger, beside: Sequence[TrialConfig] = ()) -> Summary:
    """Read how a sweep stands. Complete trials come first, by the objective at their end.

    The others follow by how far they came. Where none is complete, trials are ranked at the last epoch that more than
    one of them has reached.
    """
    metric, goal = ledger.meta.metric, ledger.meta.goal
    latest = ledger.latest_epochs()
    failures, left_out = ledger.failures(), excluded(ledger.requests())
    rows = [
        _row(trial, latest.get(trial.run_key), metric, failures.get(trial.run_key), left_out.get(trial.run_key))
        for trial in ledger.trials()
    ]
    sign = -1 if goal == "maximize" else 1
    at = _compared_at(rows)
    values_then = {} if at is None else _values_at(at, ledger, metric)

    def rank(row: Row) -> tuple[bool, bool, int, float, int]:
        complete = row.state == "complete"
        value = values_then.get(row.run_key, row.value) if at is not None and row.epoch >= at else row.value
        epoch = 0 if complete else -row.epoch if at is None else -min(row.epoch, at)
        return not row.counts, not complete, epoch, 0.0 if value is None else sign * value, row.number

    return Summary(
        name=name,
        metric=metric,
        goal=goal,
        planned=ledger.meta.planned,
        used=ledger.usage(),
        budget=ledger.meta.budget,
        halted=ledger.meta.halted,
        rows=sorted(rows, key=rank),
        exhausted=ledger.meta.exhausted,
        beside=beside,
        compared_at=at,
    )


def read_summary(folder: SweepFolder) -> Summary:
    """How the sweep in `folder` stands."""
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        found = summary(folder.name, ledger)
    if found.whole:
        return found  # what its trials do not differ in did not vary
    with contextlib.suppress(SpecError, SweepError):
        return replace(found, beside=possible(recorded_spec(folder)))
    return found


def state_of(found: Summary, *, running: bool) -> str:
    """A sweep's state, in the one word that every command uses: `running`, `done`, `enough` or `unfinished`."""
    if running or found.whole:
        return "running" if running else "done"
    return ENOUGH if found.halted is not None and found.halted.cause == ENOUGH else "unfinished"


def _compared_at(rows: list[Row]) -> int | None:
    """The last epoch that two trials have reached, or one of one; `None` where one is complete or none has a value."""
    epochs = sorted((row.epoch for row in rows if row.counts), reverse=True)
    if not epochs or any(row.counts and row.state == "complete" for row in rows):
        return None
    return epochs[min(1, len(epochs) - 1)]


def _values_at(epoch: int, ledger: Ledger, metric: str) -> dict[str, float | None]:
    latest: dict[str, tuple[int, float | None]] = {}
    for found in ledger.epochs():
        if found.epoch == epoch and found.attempt >= latest.get(found.run_key, (0, None))[0]:
            latest[found.run_key] = found.attempt, found.metrics.get(metric)
    return {key: value for key, (_, value) in latest.items()}


def _row(trial: Trial, latest: Epoch | None, metric: str, failure: Failure | None, left_out: Request | None) -> Row:
    state = "waiting" if trial.state == "interrupted" and latest is None else trial.state
    metrics = latest.metrics if latest else {}
    return Row(
        number=trial.number,
        run_key=trial.run_key,
        state=state,
        reason=trial.reason if trial.state in ENDED else None,
        failure=failure,
        epoch=latest.epoch if latest else 0,
        value=metrics.get(metric),
        metrics=metrics,
        config=trial.config,
        excluded=None if left_out is None else left_out.why or "",
        excluded_at=None if left_out is None else left_out.at,
    )
