"""What a sweep has found so far, read from its ledger: the leaderboard, and the best trial."""

import contextlib
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from search_spaces import TrialConfig
from search_spaces.headline import headline
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.failures import Failure, counted
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import Request, excluded
from tune_jobs.record.rows import ENDED, Epoch, Halted, Trial, Usage


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

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        return {
            "sweep": self.name,
            "metric": self.metric,
            "goal": self.goal,
            "planned": self.planned,
            "used": asdict(self.used),
            "budget": self.budget,
            "halted": asdict(self.halted) if self.halted else None,
            "failures": self.failures(),
            "trials": [row.as_dict() for row in self.rows],
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
        """The best complete trial; where none is complete, the best of those that got furthest."""
        return self.rows[0] if self.rows and self.rows[0].counts else None

    def whole(self, *, exhausted: bool) -> bool:
        """Whether it is done: every trial that was planned has ended, or that an `exhausted` space has."""
        return self.ended == len(self.rows) and (exhausted or self.ended == self.planned)

    @property
    def ended(self) -> int:
        """Trials that run no more: they have ended, or are excluded."""
        return self.count(*ENDED) + len(self.excluded)

    def count(self, *states: str) -> int:
        """Trials in any of these states, but for excluded ones."""
        return sum(row.state in states for row in self.shown)


def summary(name: str, ledger: Ledger) -> Summary:
    """Read how a sweep stands. Trials rank by the objective at their last epoch, complete ones first."""
    metric, goal = ledger.meta.metric, ledger.meta.goal
    latest = ledger.latest_epochs()
    failures, left_out = ledger.failures(), excluded(ledger.requests())
    rows = [
        _row(trial, latest.get(trial.run_key), metric, failures.get(trial.run_key), left_out.get(trial.run_key))
        for trial in ledger.trials()
    ]
    sign = -1 if goal == "maximize" else 1

    def rank(row: Row) -> tuple[bool, bool, int, float, int]:
        complete = row.state == "complete"
        value = 0.0 if row.value is None else sign * row.value
        return not row.counts, not complete, 0 if complete else -row.epoch, value, row.number

    return Summary(
        name=name,
        metric=metric,
        goal=goal,
        planned=ledger.meta.planned,
        used=ledger.usage(),
        budget=ledger.meta.budget,
        halted=ledger.meta.halted,
        rows=sorted(rows, key=rank),
    )


def read_summary(folder: SweepFolder) -> Summary:
    """How the sweep in `folder` stands."""
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        return summary(folder.name, ledger)


def overview(folder: SweepFolder) -> dict[str, Any]:
    """One sweep in a few numbers, for `convnn list`; `error` says why where its record cannot be read."""
    try:
        with contextlib.closing(Ledger(folder.ledger)) as ledger:
            found = summary(folder.name, ledger)
            ended, started = found.ended, ledger.meta.started
            whole = found.whole(exhausted=ledger.meta.exhausted)
    except LedgerError as error:
        return {"name": folder.name, "error": str(error)}
    return {
        "name": folder.name,
        "error": None,
        "state": "running" if live_driver(folder.path) else "done" if whole else "unfinished",
        "trials": len(found.rows),
        "ended": ended,
        "planned": found.planned,
        "metric": found.metric,
        "best": found.best.value if found.best else None,
        "started": started,
    }


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
