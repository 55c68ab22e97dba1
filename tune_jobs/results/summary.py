"""The results of a sweep so far, read from its ledger: the leaderboard and the best trial."""

import contextlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from typing import Any, Literal

from search_spaces import SpecError
from search_spaces.domains import Scalar
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.failures import Failure, counted
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import Request, excluded
from tune_jobs.record.rows import ENDED, ENOUGH, SEARCH, Epoch, Halted, Role, Trial, Usage
from tune_jobs.results.columns import Column, constants, differing, fields, possible
from tune_jobs.results.row import Row
from tune_jobs.results.seeds import Configuration, Repeats, configurations, repeats


@dataclass(frozen=True)
class Summary:
    """A sweep's status: its plan, and every trial, the best first."""

    name: str
    metric: str
    goal: Literal["maximize", "minimize"]
    planned: int | None
    used: Usage
    budget: dict[str, float]
    """The limits that are set, such as `gpu_hours`."""

    halted: Halted | None
    """Why its last run stopped early."""

    rows: list[Row]

    exhausted: bool = False
    """Whether every configuration of the space has been tried."""

    repeats: int = 1
    """Number of seeds that each configuration should have."""

    beside: Sequence[Mapping[str, Scalar]] = ()
    """The `fields` of configurations that it may also try: fields that differ among them count as varying."""

    compared_at: int | None = None
    """If no trial is complete: the epoch at which trials are ranked."""

    @cached_property
    def columns(self) -> list[Column]:
        """The fields that vary between trials."""
        return differing([*(row.fields for row in self.shown), *self.beside])

    @cached_property
    def constants(self) -> dict[str, Scalar]:
        """The values that all trials have in common, by name, of the fields that people compare."""
        return constants([row.fields for row in self.shown], self.columns)

    @cached_property
    def configurations(self) -> list[Configuration]:
        """The configurations of its trials, the best first."""
        return configurations(self.rows, self.repeats)

    @cached_property
    def by_configuration(self) -> bool:
        """Whether configurations with several trials each are compared, instead of single trials."""
        return self.repeats > 1 or any(row.repeat_of for row in self.rows)

    @cached_property
    def seeds(self) -> list[Repeats]:
        """The configurations that are complete with several seeds, the best first."""
        if self.repeats == 1:
            return repeats(self.rows, self.goal)
        return [each.complete for each in self.configurations if len(each.complete.rows) > 1]

    @property
    def ranking(self) -> str | None:
        """A sentence on how trials are ranked, if that is not obvious."""
        if self.compared_at is not None:
            return f"No trial is complete yet; ranked by {self.metric} at epoch {self.compared_at}."
        if self.repeats == 1 or self.best is None:
            return None
        if not self.configurations[0].whole:
            return f"No configuration has all of its {self.repeats} seeds yet; those with more come first."
        return f"Ranked by the mean over {self.repeats} seeds; configurations with fewer seeds come after them."

    def as_dict(self, columns: Sequence[Column] | None = None) -> dict[str, Any]:
        """Return the summary for programs, with stable keys; `columns` are those that vary, unless others are given."""
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
            "repeats": self.repeats,
            "configurations_ended": self.configurations_ended,
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
        """The trials without excluded ones."""
        return [row for row in self.rows if row.excluded is None]

    @property
    def excluded(self) -> list[Row]:
        """The excluded trials, sorted by number."""
        return sorted((row for row in self.rows if row.excluded is not None), key=lambda row: row.number)

    @property
    def exclusions(self) -> str | None:
        """The excluded trials in one line: `1 trial is excluded: trial 3 (why)`."""
        if not self.excluded:
            return None
        count = "1 trial is" if len(self.excluded) == 1 else f"{len(self.excluded)} trials are"
        return f"{count} excluded: {', '.join(f'trial {row.number} ({row.excluded})' for row in self.excluded)}"

    def trial(self, name: str) -> Row:
        """Return a trial by its number or run key.

        Raises:
            UsageError: If the trial does not exist.
        """
        row = next((row for row in self.rows if name in (str(row.number), row.run_key)), None)
        if row is None:
            raise UsageError(
                f"{self.name} has no trial {name!r}; {self._numbers}. To list them: convnn show {self.name}"
            )
        return row

    @property
    def _numbers(self) -> str:
        """The range of trial numbers as text. Runs of a confirmation share the numbering, but are not included here."""
        numbers = [row.number for row in self.rows]
        if not numbers:
            return "no trial of it has started"
        return "its only trial is 1" if numbers == [1] else f"its trials are {min(numbers)} to {max(numbers)}"

    def failures(self) -> dict[str, int]:
        """Return how many trials failed or diverged, by class."""
        return counted(row.failure for row in self.shown)

    @property
    def best(self) -> Row | None:
        """The best complete trial; if none is complete, the best at the epoch at which trials are compared.

        With several seeds, a trial of the best configuration, which need not be the best of all trials.
        """
        return self.rows[0] if self.rows and self.rows[0].counts else None

    @property
    def best_value(self) -> float | None:
        """The best trial's objective; with several seeds, the mean over the complete trials of its configuration."""
        if self.best is None:
            return None
        complete = self.configurations[0].complete
        return complete.mean if complete.rows else self.best.value

    @property
    def best_said(self) -> str:
        """The same as text, with the spread and the number of seeds if there are several."""
        return "-" if self.best is None else self.configurations[0].said(self.metric)

    @property
    def whole(self) -> bool:
        """Whether it is done: every planned configuration has ended, or every configuration of the space."""
        ended = self.configurations_ended
        return ended == len(self.configurations) and (
            self.exhausted or (self.planned is not None and ended >= self.planned)
        )

    @property
    def configurations_ended(self) -> int:
        """Number of configurations without a running or pending trial."""
        return sum(each.ended for each in self.configurations)

    def to_start(self, running: int) -> float:
        """Estimate how many trials are still to start, besides the running ones.

        The share of configurations that continue with further seeds is estimated from those whose first trial has
        ended; it is 1 until a first trial has ended.
        """
        firsts = [row for row in self.rows if not row.repeat_of]
        ended = [row for row in firsts if row.state in ENDED or row.excluded is not None]
        whole = sum(row.state == "complete" and row.counts for row in ended) / len(ended) if ended else 1.0
        further = whole * (self.repeats - 1)
        new = max(0, (self.planned or 0) - len(firsts)) * (1 + further)
        begun = sum(each.to_begin for each in self.configurations) + (len(firsts) - len(ended)) * further
        return max(0.0, new + begun + len(self.rows) - self.ended - running)

    @property
    def ended(self) -> int:
        """Number of trials that have ended or are excluded."""
        return self.count(*ENDED) + len(self.excluded)

    def count(self, *states: str) -> int:
        """Return the number of trials in any of these states, without excluded ones."""
        return sum(row.state in states for row in self.shown)


def summary(
    name: str,
    ledger: Ledger,
    beside: Sequence[Mapping[str, Scalar]] = (),
    *,
    role: Role = SEARCH,
    metric: str | None = None,
) -> Summary:
    """Read the status of a sweep. Complete trials come first, sorted by their final objective.

    The others follow, sorted by their last epoch. If none is complete, trials are ranked at the last epoch that more
    than one of them has reached. With several seeds, configurations are ranked by the mean over their complete seeds.
    Configurations with more complete seeds come first, so that only means over the same number are compared.
    """
    metric, goal = metric or ledger.meta.metric, ledger.meta.goal
    latest = ledger.latest_epochs()
    failures, left_out, trials = ledger.failures(), excluded(ledger.requests()), ledger.trials(role)
    seeds = {trial.run_key: trial.config.training.seed for trial in trials}
    rows = [
        replace(
            _row(trial, latest.get(trial.run_key), metric, failures.get(trial.run_key), left_out.get(trial.run_key)),
            repeat_of=trial.repeat_of,
            repeat=trial.config.training.seed - seeds.get(trial.repeat_of or trial.run_key, 0),
        )
        for trial in trials
    ]
    sign = -1 if goal == "maximize" else 1
    at = _compared_at(rows)
    then = {} if at is None else ledger.latest_epochs(at)
    values_then = {key: epoch.metrics.get(metric) for key, epoch in then.items()}

    def rank(row: Row) -> Rank:
        complete = row.state == "complete"
        value = values_then.get(row.run_key, row.value) if at is not None and row.epoch >= at else row.value
        epoch = 0 if complete else -row.epoch if at is None else -min(row.epoch, at)
        return not row.counts, not complete, epoch, 0.0 if value is None else sign * value, row.number

    return Summary(
        name=name,
        metric=metric,
        goal=goal,
        planned=ledger.meta.planned if role == SEARCH else None,
        used=ledger.usage(),
        budget=ledger.meta.budget,
        halted=ledger.meta.halted,
        rows=_ranked(configurations(rows, ledger.meta.repeats), rank, sign),
        repeats=ledger.meta.repeats,
        exhausted=ledger.meta.exhausted,
        beside=beside,
        compared_at=at,
    )


Rank = tuple[bool, bool, int, float, int]


def _ranked(found: Iterable[Configuration], rank: Callable[[Row], Rank], sign: int) -> list[Row]:
    """Return the trials that count, by configuration, the best first; then the others."""

    def place(group: Configuration) -> Rank:
        complete = group.complete
        if complete.rows:
            return False, False, -len(complete.rows), sign * complete.mean, group.first.number
        return min(rank(row) for row in group.rows)

    rows: list[Row] = []
    for group in sorted(found, key=place):
        complete = {row.run_key for row in group.complete.rows}
        rows += [row for _, _, row in sorted((row.run_key not in complete, rank(row), row) for row in group.rows)]
    return [row for row in rows if row.counts] + sorted((row for row in rows if not row.counts), key=rank)


def read_summary(folder: SweepFolder) -> Summary:
    """Return the status of the sweep in `folder`."""
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        found = summary(folder.name, ledger)
    if found.whole:
        return found  # all trials have ended, so only their own differences count
    with contextlib.suppress(SpecError, SweepError):
        return replace(found, beside=[*map(fields, possible(recorded_spec(folder)))])
    return found


def state_of(found: Summary, *, running: bool) -> str:
    """Return a sweep's state, as every command shows it: `running`, `done`, `enough` or `unfinished`."""
    if running or found.whole:
        return "running" if running else "done"
    return ENOUGH if found.halted is not None and found.halted.cause == ENOUGH else "unfinished"


def _compared_at(rows: list[Row]) -> int | None:
    """Return the last epoch that two trials have reached, or a single trial; `None` if a trial is complete."""
    epochs = sorted((row.epoch for row in rows if row.counts), reverse=True)
    if not epochs or any(row.counts and row.state == "complete" for row in rows):
        return None
    return epochs[min(1, len(epochs) - 1)]


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
