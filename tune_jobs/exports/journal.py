"""A sweep as Optuna studies in a journal file, for Optuna itself and its dashboard.

The search is one study, with the sweep's name. The runs of confirmations have another metric and are a second study.
Each contains every trial that has started once, and excluded trials as failed. Trials that have not started are left
out: Optuna would run them first.
"""

import json
import math
import warnings
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.trial import FixedTrial, FrozenTrial, TrialState

from search_spaces import SweepSpec, config_key
from tune_jobs.errors import LedgerError
from tune_jobs.exports.files import new_file
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import CONFIRM, ENDED, Attempt, Role
from tune_jobs.results.history import by_role, effective
from tune_jobs.results.row import Row
from tune_jobs.results.summary import Summary
from tune_jobs.search.study import Suggest


@dataclass(frozen=True)
class Exported:
    """A study in a journal."""

    name: str
    trials: int


def study_name(sweep: str, role: Role) -> str:
    """Return the name of the study of a sweep's search, or of its confirmations."""
    return f"{sweep} (confirmation)" if role == CONFIRM else sweep


def write_journal(folder: SweepFolder, file: Path) -> list[Exported]:
    """Write a sweep to a new journal file, and return its studies.

    Raises:
        UsageError: If the file exists.
        SweepError: If the sweep's file or record cannot be read, or the journal cannot be written.
    """
    spec = recorded_spec(folder)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    with closing(Ledger(folder.ledger)) as ledger:
        found = by_role(folder.name, ledger)
        trials = partial(_trials, _points(spec, folder, ledger), _times(ledger), ledger)
        with new_file(file) as part:
            journal = _Lines()
            storage = JournalStorage(journal)
            exported = [_add_study(storage, role, each, list(trials(role, each))) for role, each in found.items()]
            part.write_text("".join(journal.lines), encoding="utf-8")
            return exported


class _Lines(BaseJournalBackend):
    """The lines of a journal file, in memory: Optuna locks and syncs a file for every trial."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def read_logs(self, log_number_from: int) -> Iterable[dict[str, Any]]:
        return map(json.loads, self.lines[log_number_from:])

    def append_logs(self, logs: list[dict[str, Any]]) -> None:
        self.lines += (json.dumps(log, separators=(",", ":")) + "\n" for log in logs)


def _add_study(storage: JournalStorage, role: Role, found: Summary, trials: list[FrozenTrial]) -> Exported:
    name = study_name(found.name, role)
    study = optuna.create_study(storage=storage, study_name=name, direction=found.goal)
    for key, value in (("sweep", found.name), ("role", role), ("metric", found.metric)):
        study.set_user_attr(key, value)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        study.set_metric_names([found.metric])
    study.add_trials(trials)
    return Exported(name, len(trials))


Points = Mapping[str, FixedTrial]
"""The sampler's decisions with Optuna's distributions, by configuration."""

Times = Mapping[str, tuple[float, float | None]]
"""The start of a trial's first attempt and the end of its last one, by run key."""


def _points(spec: SweepSpec, folder: SweepFolder, ledger: Ledger) -> Points:
    asks = {ask.run_key: ask.decisions for ask in ledger.asks() if ask.outcome == "new"}
    points: dict[str, FixedTrial] = {}
    for trial in ledger.trials():
        if trial.run_key not in asks:
            continue  # another seed of a configuration, which the sampler did not propose
        point = points[config_key(trial.config)] = FixedTrial(asks[trial.run_key])
        try:
            spec.space.resolve(Suggest(point))
        except ValueError as error:
            raise LedgerError(
                f"the record of trial {trial.number} does not fit {folder.spec}: {error}; is it the sweep's file?"
            ) from error
    return points


def _times(ledger: Ledger) -> Times:
    attempts: dict[str, list[Attempt]] = {}
    for attempt in ledger.attempts():
        attempts.setdefault(attempt.run_key, []).append(attempt)
    return {key: (found[0].started, found[-1].ended) for key, found in attempts.items()}


def _trials(points: Points, times: Times, ledger: Ledger, role: Role, found: Summary) -> Iterator[FrozenTrial]:
    for row in sorted((row for row in found.rows if row.run_key in times), key=lambda row: row.number):
        curve = effective(ledger.epochs(row.run_key))
        seen = ((each.epoch, each.metrics.get(found.metric)) for each in curve)
        values = {epoch: float(value) for epoch, value in seen if isinstance(value, int | float)}
        point, state = points.get(row.config_key), _state(row, valued=bool(values))
        trial = optuna.trial.create_trial(
            state=state,
            value=_value(state, row, values),
            params=point.params if point else {},
            distributions=point.distributions if point else {},
            intermediate_values=values,
            user_attrs=_attributes(row, role),
        )
        started, ended = times[row.run_key]
        trial.datetime_start = datetime.fromtimestamp(started, UTC)
        if state.is_finished():
            trial.datetime_complete = datetime.fromtimestamp(ended or row.excluded_at or started, UTC)
        yield trial


def _state(row: Row, *, valued: bool) -> TrialState:
    if row.excluded is None and row.state not in ENDED:
        return TrialState.RUNNING
    if row.excluded is None and row.state == "stopped" and valued:
        return TrialState.PRUNED
    return TrialState.COMPLETE if row.state == "complete" and row.counts else TrialState.FAIL


def _value(state: TrialState, row: Row, values: Mapping[int, float]) -> float | None:
    """Return the value of a complete trial, or the last one of a pruned trial, as Optuna defines it."""
    if state == TrialState.PRUNED:
        last = values[max(values)]
        return None if math.isnan(last) else last
    return row.value if state == TrialState.COMPLETE else None


def _attributes(row: Row, role: Role) -> dict[str, Any]:
    """Return the rest of a trial's record, besides its parameters and values."""
    own = row.as_dict()
    metrics, params = own.pop("metrics"), own.pop("params")
    del own["value"]
    found = {"role": role, "config_key": row.config_key, **own, **params, **metrics}
    return {key: _plain(value) for key, value in found.items() if value is not None}


def _plain(value: Any) -> Any:  # noqa: ANN401 - any scalar
    """Return a number that JSON does not have as text, since browsers reject it otherwise."""
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
