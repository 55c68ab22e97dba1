"""Compares sweeps: the configurations that two sweeps share, and how the results of the second differ."""

import warnings
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from scipy import stats

from search_spaces import TrialConfig, config_key
from search_spaces.base import by_path
from search_spaces.domains import Scalar
from tune_jobs.errors import UsageError
from tune_jobs.evidence.differences import LEVEL, Sample, sample
from tune_jobs.evidence.labels import columns_of, labels
from tune_jobs.evidence.trials import Group, LeftOut, OurSweep, grouped
from tune_jobs.results.columns import fields
from tune_jobs.results.recorded.matching import HARDWARE, configuration, same_training


@dataclass(frozen=True)
class PairedRow:
    """One configuration that both sweeps share."""

    config_key: str
    label: str
    varying: dict[str, Scalar]
    epoch: int
    first: Sample
    second: Sample
    difference: float
    """The second sweep's mean minus the first's."""


@dataclass(frozen=True)
class Only:
    """A configuration that only one sweep has."""

    label: str
    trials: list[int]


@dataclass(frozen=True)
class Paired:
    """The mean of the differences over configurations."""

    n: int
    """Number of configurations."""

    mean: float
    low: float
    high: float
    """The 95% interval."""

    p: float
    method: str = "paired t"


@dataclass(frozen=True)
class Pair:
    """The comparison of two sweeps."""

    first: str
    second: str
    rows: list[PairedRow]
    paired: Paired | None
    """`None` for fewer than two configurations, or if all differences are equal."""

    only_first: list[Only]
    only_second: list[Only]
    differs: dict[str, tuple[list[Scalar], list[Scalar]]]
    """Fields whose values differ between the sweeps, by path: the first's values, the second's values."""

    notes: list[str]
    left_out: dict[str, list[LeftOut]]
    """Trials that are not compared, by sweep."""


@dataclass(frozen=True)
class SweepComparison:
    """The comparison of a sweep with others."""

    metric: str
    pairs: list[Pair]

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison for programs, with stable keys."""
        return asdict(self)


def beside(sweeps: Sequence[OurSweep], metric: str | None = None) -> SweepComparison:
    """Compare the first sweep with each of the others.

    Raises:
        UsageError: If their protocols differ, or one has not recorded the metric.
    """
    first, *others = sweeps
    asked = metric or first.metric
    for other in others:
        if other.protocol != first.protocol:
            raise UsageError(
                f"sweeps must have the same evaluation.protocol to be compared; {first.name} has {first.protocol} and "
                f"{other.name} has {other.protocol}, so they tested on different images. Run one again with "
                f"--set 'evaluation={{protocol: {first.protocol}}}' and another name."
            )
    return SweepComparison(asked, [_pair(first, other, asked) for other in others])


def _pair(first: OurSweep, second: OurSweep, metric: str) -> Pair:
    found = [grouped(sweep.trials, metric, configuration) for sweep in (first, second)]
    key = _key([groups.values() for groups, _ in found])
    ours, theirs = ({key(group.config): group for group in groups.values()} for groups, _ in found)
    common = [name for name in ours if name in theirs]
    every = [group.config for groups in (ours, theirs) for group in groups.values()]
    columns = columns_of(every)
    label_of = dict(zip([*ours, *theirs], labels(every, columns), strict=True))
    rows = []
    for name in common:
        epoch = min(ours[name].epoch, theirs[name].epoch)
        one, other = (sample(each[name].values(metric, epoch)) for each in (ours, theirs))
        values = fields(ours[name].config)
        varying = {column.name: values.get(column.key) for column in columns}
        made = PairedRow(
            config_key(ours[name].config), label_of[name], varying, epoch, one, other, other.mean - one.mean
        )
        rows.append(made)
    return Pair(
        first=first.name,
        second=second.name,
        rows=rows,
        paired=_paired([row.difference for row in rows]),
        only_first=_only(ours, theirs, label_of),
        only_second=_only(theirs, ours, label_of),
        differs=_differs(first, second),
        notes=_notes(first, second, metric),
        left_out={sweep.name: out for sweep, (_, out) in zip((first, second), found, strict=True)},
    )


def _key(sweeps: Sequence[Iterable[Group]]) -> Callable[[TrialConfig], str]:
    """Return the key that identifies configurations; it ignores how they are computed, unless a sweep varies that."""
    for groups in sweeps:
        keys = [same_training(group.config) for group in groups]
        if len(set(keys)) < len(keys):
            return configuration
    return same_training


def _only(own: dict[str, Group], other: dict[str, Group], label_of: dict[str, str]) -> list[Only]:
    return [
        Only(label_of[name], [trial.number for trial in group.trials])
        for name, group in own.items()
        if name not in other
    ]


def _paired(differences: Sequence[float]) -> Paired | None:
    if len(differences) < 2 or np.ptp(differences) == 0:  # noqa: PLR2004 - no spread
        return None
    with warnings.catch_warnings(action="ignore", category=RuntimeWarning):
        test = stats.ttest_1samp(differences, 0)
    low, high = test.confidence_interval(1 - LEVEL)
    return Paired(len(differences), float(np.mean(differences)), float(low), float(high), float(test.pvalue))


def _differs(first: OurSweep, second: OurSweep) -> dict[str, tuple[list[Scalar], list[Scalar]]]:
    values: list[dict[str, dict[Scalar, None]]] = [{}, {}]
    for sweep, found in zip((first, second), values, strict=True):
        for trial in sweep.trials:
            for path, value in by_path(trial.config.model_dump(mode="json", by_alias=True)):
                kept = str(value) if isinstance(value, list) else value
                found.setdefault(path, {})[kept] = None
    paths = [path for path in dict.fromkeys([*values[0], *values[1]]) if path not in ("data.root", "training.seed")]
    sides = {path: (list(values[0].get(path, {})), list(values[1].get(path, {}))) for path in paths}
    return {path: (a, b) for path, (a, b) in sides.items() if set(a) != set(b)}


def _notes(first: OurSweep, second: OurSweep, metric: str) -> list[str]:
    notes = []
    if first.evaluation != second.evaluation:
        notes.append(f"evaluated differently: {first.evaluation} and {second.evaluation}")
    notes += [
        f"{sweep.name} was searched by {sweep.metric}, but {metric} is compared"
        for sweep in (first, second)
        if sweep.metric != metric
    ]
    how = {f"training.{name}" for name in HARDWARE}
    if found := sorted(how & set(_differs(first, second))):
        notes.append(f"computed differently: {', '.join(found)}")
    return notes
