"""The history of single trials: their attempts, and the epochs that count."""

import contextlib
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import Any

import yaml

from search_spaces import SweepSpec
from search_spaces.settings import Paper
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import CHAMPION, CONFIRM, SEARCH, Attempt, Epoch, Role, confirmed_metric
from tune_jobs.results.row import Row
from tune_jobs.results.seeds import Configuration
from tune_jobs.results.summary import Summary, summary
from tune_jobs.results.words import iso_time
from tune_jobs.system.visible import visible


@dataclass(frozen=True)
class TrialHistory:
    """One trial: its state, its attempts, and its epochs in order, each from the last attempt that ran it."""

    folder: SweepFolder
    row: Row
    attempts: list[Attempt]
    epochs: list[Epoch]
    metric: str = ""
    seeds: Configuration | None = None
    """All trials of its configuration, if the sweep compares configurations."""

    role: Role = SEARCH
    """Whether it belongs to the search or to a confirmation."""

    def as_dict(self) -> dict[str, Any]:
        """Return the history for programs, with stable keys."""
        return {
            **self.row.as_dict(),
            "role": self.role,
            "excluded_at": self.row.excluded_at,
            "config": self.row.config.model_dump(mode="json", by_alias=True),
            "attempts": [asdict(attempt) for attempt in self.attempts],
            "epoch_metrics": [{"epoch": e.epoch, "at": e.at, "time": iso_time(e.at), **e.metrics} for e in self.epochs],
        }

    def spec(self) -> SweepSpec:
        """Return the recorded sweep, with the evaluation of this trial."""
        spec = recorded_spec(self.folder)
        if self.role == SEARCH:
            return spec
        return replace(spec, evaluation=Paper(protocol="paper"), metric=confirmed_metric(spec.metric))

    def sweep_file(self) -> str:
        """Return a sweep file of this one configuration, with the evaluation of this trial."""
        spec = self.spec()
        content = {
            "name": f"{self.folder.name}-trial-{self.row.number}"[-100:],
            "space": self.row.config.model_dump(mode="json", by_alias=True),
            "evaluation": spec.evaluation.model_dump(mode="json"),
            "objective": {"metric": spec.metric, "goal": spec.goal},
            "resources": spec.resources.model_dump(mode="json"),
        }
        text = yaml.safe_dump(content, sort_keys=False, allow_unicode=True)
        if visible(text) != text:  # use YAML's escapes for characters that cannot be printed safely
            text = yaml.safe_dump(content, sort_keys=False)
        return text


def curves(epochs: Iterable[Epoch]) -> dict[str, list[Epoch]]:
    """Return each trial's epochs in order, by run key, each from the last attempt that ran it."""
    by_key: dict[str, list[Epoch]] = {}
    for epoch in epochs:
        by_key.setdefault(epoch.run_key, []).append(epoch)
    return {key: effective(found) for key, found in by_key.items()}


def effective(epochs: Iterable[Epoch]) -> list[Epoch]:
    """Return the same for the epochs of one trial."""
    latest = {epoch.epoch: epoch for epoch in sorted(epochs, key=lambda e: e.attempt)}
    return [latest[number] for number in sorted(latest)]


def history(folder: SweepFolder, trial: str) -> TrialHistory:
    """Return the history of a trial, by its number or run key, or `champion`; runs of a confirmation are included.

    Raises:
        UsageError: If the trial or the champion does not exist.
    """
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        found, row, role = _found(folder.name, ledger, _key_of(folder.name, ledger, trial))
        by_configuration = role == SEARCH and found.by_configuration
        seeds = next(each for each in found.configurations if row in each.rows) if by_configuration else None
        epochs = effective(ledger.epochs(row.run_key))
        attempts = [attempt for attempt in ledger.attempts() if attempt.run_key == row.run_key]
    return TrialHistory(folder, row, attempts, epochs, found.metric, seeds, role)


def _key_of(name: str, ledger: Ledger, trial: str) -> str:
    """Return the name of a trial unchanged, or for `champion` the champion's run key.

    Raises:
        UsageError: If there is no champion yet.
    """
    if trial != CHAMPION:
        return trial
    champion = ledger.meta.champion
    if champion is None:
        raise UsageError(
            f"{name} has no champion: only a finished confirmation chooses one. To run or finish it: "
            f"convnn confirm {name}"
        )
    return champion.run_key


def _found(name: str, ledger: Ledger, trial: str) -> tuple[Summary, Row, Role]:
    """Return the summary that contains a trial, the trial's row, and the role of these trials."""
    role = CONFIRM if any(trial in (str(each.number), each.run_key) for each in ledger.trials(CONFIRM)) else SEARCH
    found = _summary_of(role, name, ledger)
    return found, found.trial(trial), role


def by_role(name: str, ledger: Ledger) -> dict[Role, Summary]:
    """Return the summary of a sweep's search and, if it has confirmations, a separate summary of their runs."""
    roles = (SEARCH, CONFIRM) if ledger.trials(CONFIRM) else (SEARCH,)
    return {role: _summary_of(role, name, ledger) for role in roles}


def _summary_of(role: Role, name: str, ledger: Ledger) -> Summary:
    if role == SEARCH:
        return summary(name, ledger)
    return summary(name, ledger, role=CONFIRM, metric=confirmed_metric(ledger.meta.metric))
