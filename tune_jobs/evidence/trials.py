"""Reads the trials of sweeps for comparison: grouped by configuration, all at the same epoch."""

import contextlib
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

from search_spaces import TrialConfig
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.results.history import curves

JUDGED = ("complete", "stopped")
"""Final states of compared trials. Stopped trials are included, as leaving them out would select by value."""


@dataclass(frozen=True)
class OurTrial:
    """One trial and its metrics."""

    number: int
    config: TrialConfig
    state: str
    """The state in the ledger, or `excluded`."""

    curves: Mapping[str, Mapping[int, float]]
    """The value at each epoch, by metric."""


@dataclass(frozen=True)
class OurSweep:
    """A sweep, as read for comparison."""

    name: str
    protocol: str
    evaluation: str
    """The protocol with its settings."""

    metric: str
    trials: Sequence[OurTrial]


@dataclass(frozen=True)
class LeftOut:
    """A trial that is not compared, and why."""

    trial: int
    why: str


@dataclass(frozen=True)
class Group:
    """The trials of one configuration."""

    config: TrialConfig
    trials: tuple[OurTrial, ...]
    epoch: int
    """The last epoch that all of them have."""

    def values(self, metric: str, epoch: int) -> tuple[float, ...]:
        """Return one value for each trial."""
        return tuple(trial.curves[metric][epoch] for trial in self.trials)


def read_sweep(folder: SweepFolder) -> OurSweep:
    """Read the sweep of a folder.

    Raises:
        LedgerError: If the ledger cannot be read.
        SpecError, UsageError: If the sweep's file cannot be read.
    """
    spec = recorded_spec(folder)
    trials = []
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        left_out = excluded(ledger.requests())
        by_key = curves(ledger.epochs())
        for trial in ledger.trials():
            found: dict[str, dict[int, float]] = {}
            for epoch in by_key.get(trial.run_key, ()):
                for name, value in epoch.metrics.items():
                    found.setdefault(name, {})[epoch.epoch] = value
            state = "excluded" if trial.run_key in left_out else trial.state
            trials.append(OurTrial(trial.number, trial.config, state, found))
        metric = ledger.meta.metric
    settings = spec.evaluation.model_dump(mode="json")
    evaluation = ", ".join(f"{name} {value}" for name, value in settings.items())
    return OurSweep(folder.name, spec.evaluation.protocol, evaluation, metric, trials)


def grouped(
    trials: Iterable[OurTrial], metric: str, key: Callable[[TrialConfig], str]
) -> tuple[dict[str, Group], list[LeftOut]]:
    """Group trials by configuration; return the groups and the trials that are left out.

    Ended trials, including stopped ones, are compared at the last epoch that all of them have. Leaving out trials that
    a rule stopped would keep only the lucky ones. Unfinished trials count only if no trial of their configuration has
    ended. Several trials with the same seed are one run, and the longest counts.

    Raises:
        UsageError: If the metric was not recorded.
    """
    found: dict[str, list[OurTrial]] = {}
    out: list[LeftOut] = []
    names: set[str] = set()
    for trial in trials:
        names |= {name for name in trial.curves if "/" in name}
        if trial.state in ("excluded", "failed", "diverged"):
            out.append(LeftOut(trial.number, trial.state))
        elif not _reached(trial, metric):
            out.append(LeftOut(trial.number, "no epoch yet"))
        else:
            found.setdefault(key(trial.config), []).append(trial)
    if names and metric not in names:
        raise UsageError(
            f"--metric must be one that the sweep has recorded ({', '.join(sorted(names))}), got {metric}."
        )
    groups = {}
    for name, members in found.items():
        ended = [trial for trial in members if trial.state in JUDGED] or members
        out += [LeftOut(trial.number, _UNFINISHED) for trial in members if trial not in ended]
        by_seed: dict[int, OurTrial] = {}
        for trial in sorted(ended, key=lambda each: -_reached(each, metric)):
            first = by_seed.setdefault(trial.config.training.seed, trial)
            if first is not trial:
                out.append(LeftOut(trial.number, f"the same configuration and seed as trial {first.number}"))
        chosen = sorted(by_seed.values(), key=lambda each: each.number)
        groups[name] = Group(chosen[0].config, tuple(chosen), min(_reached(trial, metric) for trial in chosen))
    return groups, sorted(out, key=lambda each: each.trial)


_UNFINISHED = "unfinished, and others of its configuration have ended"


def _reached(trial: OurTrial, metric: str) -> int:
    """Return the last epoch up to which every value of the metric is finite."""
    curve, epoch = trial.curves.get(metric, {}), 0
    while math.isfinite(curve.get(epoch + 1, math.nan)):
        epoch += 1
    return epoch
