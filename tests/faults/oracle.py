"""Compares a sweep with faults with an undisturbed run of the same sweep, and MLflow with the ledger.

In the ledger, it compares the sampler's asks, each trial's key, number and state, and each epoch of each attempt, bit
for bit except for times; and it checks that every epoch is there. In MLflow, it expects one run per trial that is not
superseded, with each value of the trial's effective curve (each epoch from the last attempt that ran it) exactly once
and equal to the ledger's; one parent run; and no open run.

`lost` lists what is missing or has a different value, `duplicated` what occurs too often.
"""

import contextlib
import math
import sqlite3
import threading
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces import TrialConfig
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Attempt, Usage

TIMES = ("epoch_s", "images_per_s")
"""Metrics that differ from run to run."""

MISSING = 10
"""Up to this many missing items of one kind are listed."""

MOST_RUNS = 50_000
"""The largest number of runs that MLflow returns in one answer."""

_one_reader = threading.Lock()  # MLflow keeps the setup of open stores in global state


@dataclass(frozen=True)
class Course:
    """One trial in the ledger; `epochs` is its effective curve."""

    run_key: str
    number: int
    state: str
    config: TrialConfig
    epochs: dict[int, dict[str, float]]
    tried: dict[tuple[int, int], dict[str, float]]
    """Every epoch of every attempt, by (attempt, epoch)."""


@dataclass(frozen=True)
class Record:
    """A sweep in its ledger."""

    trials: dict[str, Course]
    asks: list[tuple[str, str, str | None]]
    attempts: list[Attempt]
    recorded: list[tuple[float, str, int, int]]
    """When each epoch was recorded, in order: time, run key, attempt, epoch."""

    usage: Usage

    def by_number(self, number: int) -> Course:
        """Return the trial with this number."""
        return next(trial for trial in self.trials.values() if trial.number == number)

    @property
    def running(self) -> set[tuple[str, int]]:
        """The running attempts, by run key and number."""
        return {(attempt.run_key, attempt.attempt) for attempt in self.attempts if attempt.state == "running"}

    def failures(self) -> Counter[str]:
        """Count the attempts that ended with each failure class."""
        return Counter(attempt.failure for attempt in self.attempts if attempt.failure is not None)

    def tried_since(self, before: "Record") -> set[str]:
        """Return the run keys of trials that have more attempts than before."""
        known = {(attempt.run_key, attempt.attempt) for attempt in before.attempts}
        return {attempt.run_key for attempt in self.attempts if (attempt.run_key, attempt.attempt) not in known}

    def epochs_after(self, moment: float, run_key: str | None = None) -> float | None:
        """Return when the first epoch after `moment` was recorded, of one trial or any."""
        return next((at for at, key, *_ in self.recorded if at > moment and run_key in (None, key)), None)


@dataclass
class Differences:
    """The result of a comparison."""

    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)

    def add(self, other: "Differences") -> None:
        """Add the result of another comparison."""
        self.lost += other.lost
        self.duplicated += other.duplicated

    def __bool__(self) -> bool:
        return bool(self.lost or self.duplicated)

    def __str__(self) -> str:
        return "; ".join([*(f"lost: {what}" for what in self.lost), *(f"twice: {what}" for what in self.duplicated)])


def read(ledger: Path) -> Record:
    """Read a sweep's ledger."""
    with contextlib.closing(Ledger(ledger)) as opened:
        trials, attempts, epochs, asks = opened.trials(), opened.attempts(), opened.epochs(), opened.asks()
        usage = opened.usage()
    courses = {
        trial.run_key: Course(trial.run_key, trial.number, trial.state, trial.config, {}, {}) for trial in trials
    }
    for epoch in sorted(epochs, key=lambda e: (e.attempt, e.epoch)):
        courses[epoch.run_key].epochs[epoch.epoch] = epoch.metrics
        courses[epoch.run_key].tried[epoch.attempt, epoch.epoch] = epoch.metrics
    return Record(
        courses,
        [(repr(sorted(ask.decisions.items())), ask.outcome, ask.run_key) for ask in asks],
        attempts,
        [(e.at, e.run_key, e.attempt, e.epoch) for e in epochs],
        usage,
    )


def begins_as(trial: Course, other: Course) -> bool:
    """Whether a trial has every epoch of the other one, bit for bit."""
    return trial.epochs.keys() >= other.epochs.keys() and all(
        _same(_repeatable(trial.epochs[epoch]), _repeatable(metrics)) for epoch, metrics in other.epochs.items()
    )


def damage(ledger: Path) -> list[str]:
    """Return SQLite's findings about the file; empty if it is intact."""
    with contextlib.closing(sqlite3.connect(ledger, timeout=30)) as opened:
        found = [str(line) for (line,) in opened.execute("PRAGMA integrity_check")]
    return [] if found == ["ok"] else found


def compare(
    reference: Record, found: Record, *, states: Mapping[str, str] | None = None, only: Collection[str] | None = None
) -> Differences:
    """Compare a sweep's ledger with that of the undisturbed sweep.

    Args:
        reference: The undisturbed sweep.
        found: The sweep with faults.
        states: Expected states, by run key, of trials that should end differently; they may lack epochs.
        only: Run keys to compare, if the two sweeps should not have the same trials; `None` for all.
    """
    differences = Differences()
    if only is None:
        _compare_asks(reference, found, differences)
    for key, expected in reference.trials.items():
        if only is not None and key not in only:
            continue
        trial = found.trials.get(key)
        if trial is None:
            differences.lost.append(f"trial {expected.number}")
        else:
            _compare_trial(expected, trial, (states or {}).get(key), differences, numbered=only is None)
    extra = [key for key in found.trials if key not in reference.trials and (only is None or key in only)]
    differences.duplicated += [
        f"trial {found.trials[key].number}, which the undisturbed sweep does not have" for key in extra
    ]
    differences.lost += [
        f"the end of attempt {a.attempt} of {a.run_key}" for a in found.attempts if a.state == "running"
    ]
    return differences


def compare_so_far(reference: Record, before: Record | None, found: Record) -> Differences:
    """Compare the ledger of an unfinished sweep with that of the undisturbed sweep, and with its own state `before`."""
    differences = Differences()
    _compare_asks(reference, found, differences, whole=False)
    for key, trial in found.trials.items():
        expected = reference.trials.get(key)
        if expected is None:
            differences.duplicated.append(f"trial {trial.number}, which the undisturbed sweep does not have")
        else:
            final = trial.state in ("complete", "stopped", "diverged")
            _compare_trial(expected, trial, None if final else trial.state, differences, numbered=True)
    if before is not None:
        _missing("what was recorded before:", set(before.recorded) - set(found.recorded), differences.lost)
    return differences


def _compare_asks(reference: Record, found: Record, differences: Differences, *, whole: bool = True) -> None:
    for number, (expected, ask) in enumerate(zip(reference.asks, found.asks, strict=False)):
        if expected != ask:
            differences.lost.append(f"ask {number}: {ask}, not {expected}")
    if whole:
        differences.lost += [f"ask {number}" for number in range(len(found.asks), len(reference.asks))]
    differences.duplicated += [f"ask {number}" for number in range(len(reference.asks), len(found.asks))]


def _compare_trial(
    expected: Course, trial: Course, state: str | None, differences: Differences, *, numbered: bool
) -> None:
    what = f"trial {trial.number}"
    if numbered and trial.number != expected.number:
        differences.lost.append(f"the number of {what}, which was {expected.number}")
    if trial.state != (state or expected.state):
        differences.lost.append(f"the state of {what}, which is {trial.state}, not {state or expected.state}")
    if state is None:
        _missing(f"{what} epoch", expected.epochs.keys() - trial.epochs.keys(), differences.lost)
        if expected.state == "complete":
            _missing(
                f"{what} epoch", set(range(1, trial.config.training.epochs + 1)) - trial.epochs.keys(), differences.lost
            )
    if expected.state in ("complete", "stopped"):
        extra = trial.epochs.keys() - expected.epochs.keys()
        _missing(f"{what} epoch, beyond its last,", extra, differences.duplicated)
    for (attempt, epoch), metrics in trial.tried.items():
        if epoch in expected.epochs and not _same(_repeatable(metrics), _repeatable(expected.epochs[epoch])):
            differences.lost.append(f"the numbers of {what} attempt {attempt} epoch {epoch}: {metrics}")


def _missing(what: str, found: Iterable[Any], into: list[str]) -> None:
    names = sorted(found)
    into.extend(f"{what} {name}" for name in names[:MISSING])
    if len(names) > MISSING:
        into.append(f"{what} ... and {len(names) - MISSING} more")


def _repeatable(metrics: Mapping[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in TIMES}


def _same(one: Mapping[str, float], other: Mapping[str, float]) -> bool:
    return one.keys() == other.keys() and all(_equal(value, other[name]) for name, value in one.items())


def _equal(one: float, other: float) -> bool:
    return one == other or (math.isnan(one) and math.isnan(other))


def compare_tracker(found: Record, uri: str, experiment: str) -> Differences:
    """Read a sweep from MLflow and compare it with the ledger."""
    from mlflow import MlflowClient

    differences = Differences()
    with _one_reader:
        try:
            _compare_runs(found, MlflowClient(tracking_uri=uri), experiment, differences)
        except Exception as error:  # noqa: BLE001 - any error that makes the data unreadable
            reason = (str(error).splitlines() or [""])[0]
            differences.lost.append(f"all of MLflow at {uri}: {type(error).__name__}: {reason}")
    return differences


def open_runs(uri: str, experiment: str) -> list[str]:
    """Return the runs of an experiment that are running according to MLflow."""
    from mlflow import MlflowClient

    with _one_reader:
        client = MlflowClient(tracking_uri=uri)
        there = client.get_experiment_by_name(experiment)
        runs = client.search_runs([there.experiment_id], max_results=MOST_RUNS) if there is not None else []
    return [f"the run {run.info.run_name}" for run in runs if run.info.status == "RUNNING"]


def _compare_runs(found: Record, client: Any, experiment: str, differences: Differences) -> None:
    there = client.get_experiment_by_name(experiment)
    if there is None:
        differences.lost.append(f"the experiment {experiment}")
        return
    runs = client.search_runs([there.experiment_id], max_results=MOST_RUNS)
    parents = [run for run in runs if run.data.tags.get("run_key") == "sweep"]
    _count("parent run", len(parents), differences)
    differences.lost += [f"the end of the run {r.info.run_name}" for r in runs if r.info.status == "RUNNING"]
    for trial in found.trials.values():
        children = [run for run in runs if run.data.tags.get("run_key") == trial.run_key]
        counting = [run for run in children if run.data.tags.get("superseded") != "true"]
        _count(f"run of trial {trial.number} that is not superseded", len(counting), differences)
        for run in counting:
            if parents and run.data.tags.get("mlflow.parentRunId") != parents[0].info.run_id:
                differences.lost.append(f"the parent of the run {run.info.run_name}")
            _compare_run(client, run, trial, differences)


def _count(what: str, number: int, differences: Differences) -> None:
    if number == 0:
        differences.lost.append(f"the {what}")
    differences.duplicated += [f"the {what}"] * (number - 1)


def _compare_run(client: Any, run: Any, trial: Course, differences: Differences) -> None:
    """Check that each (epoch, metric) of the effective curve occurs exactly once, with the ledger's value."""
    what = f"MLflow trial {trial.number}"
    names = {name for metrics in trial.epochs.values() for name in metrics}
    shipped: dict[tuple[int, str], list[float]] = {}
    for name in names | run.data.metrics.keys():
        for metric in client.get_metric_history(run.info.run_id, name):
            shipped.setdefault((metric.step, name), []).append(metric.value)
    recorded = {(epoch, name): value for epoch, ms in trial.epochs.items() for name, value in ms.items()}
    once = {place for place in shipped if place[1] in names}
    _missing(what, recorded.keys() - shipped.keys(), differences.lost)
    _missing(f"{what}, beyond the ledger,", once - recorded.keys(), differences.duplicated)
    for place, values in shipped.items():
        if place in recorded:
            differences.duplicated += [f"{what} {place}"] * (len(values) - 1)
            if not any(_equal(value, recorded[place]) for value in values):
                differences.lost.append(f"{what} {place}: {values}, not {recorded[place]}")
