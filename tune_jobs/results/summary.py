"""What a sweep has found so far, read from its ledger: the leaderboard, and the best trial."""

import contextlib
import math
from dataclasses import asdict, dataclass
from typing import Any, Literal

from search_spaces import TrialConfig
from search_spaces.headline import headline
from tune_jobs.errors import LedgerError
from tune_jobs.failures import Failure, counted
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
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

    @property
    def counts(self) -> bool:
        """Whether its value may be compared: it has one, and did not diverge or fail."""
        return self.value is not None and math.isfinite(self.value) and self.state not in ("diverged", "failed")

    def as_dict(self) -> dict[str, Any]:
        """For programs: stable keys."""
        return {
            "trial": self.number,
            "run_key": self.run_key,
            "state": self.state,
            "reason": self.reason,
            "failure": self.failure,
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

    def failures(self) -> dict[str, int]:
        """How many trials failed or diverged, by class."""
        return counted(row.failure for row in self.rows)

    @property
    def best(self) -> Row | None:
        """The best complete trial; where none is complete, the best of those that got furthest."""
        return self.rows[0] if self.rows and self.rows[0].counts else None

    def whole(self, *, exhausted: bool) -> bool:
        """Whether it is done: every trial that was planned has ended, or that an `exhausted` space has."""
        ended = self.count(*ENDED)
        return ended == len(self.rows) and (exhausted or ended == self.planned)

    def count(self, *states: str) -> int:
        """Trials in any of these states."""
        return sum(row.state in states for row in self.rows)


def summary(name: str, ledger: Ledger) -> Summary:
    """Read how a sweep stands. Trials rank by the objective at their last epoch, complete ones first."""
    metric, goal = ledger.meta.metric, ledger.meta.goal
    latest = ledger.latest_epochs()
    failures = ledger.failures()
    rows = [_row(trial, latest.get(trial.run_key), metric, failures.get(trial.run_key)) for trial in ledger.trials()]
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
            ended, started = found.count(*ENDED), ledger.meta.started
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


def _row(trial: Trial, latest: Epoch | None, metric: str, failure: Failure | None) -> Row:
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
    )
