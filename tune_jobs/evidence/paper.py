"""Compares a sweep with the published runs: each configuration with its recorded runs, at the same epoch."""

import dataclasses
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from search_spaces import TrialConfig, config_key
from search_spaces.domains import Scalar
from tune_jobs.errors import UsageError
from tune_jobs.evidence.differences import (
    Difference,
    Noise,
    Sample,
    Verdict,
    batch_mean_sd,
    difference,
    pooled_noise,
    sample,
    verdicts,
)
from tune_jobs.evidence.labels import columns_of, labels
from tune_jobs.evidence.trials import Group, LeftOut, OurSweep, grouped
from tune_jobs.results.columns import Column, fields
from tune_jobs.results.recorded.matching import BY_DEPTH, HARDWARE, Runs, configuration, same_training
from tune_jobs.results.recorded.published import Printed, deviation, printed
from tune_jobs.results.recorded.table import Array

METRICS = ("test/accuracy", "test/loss")
MARGINS = {"test/accuracy": 0.01, "test/loss": 0.1}
"""Smallest margins; the margin is larger if the paper shows a larger difference."""


@dataclass(frozen=True)
class BestEpoch:
    """The best epoch up to the compared one, as in Figures 4, 5, 7 and 8; it was chosen on test images."""

    ours: float
    """The mean over trials."""

    theirs: float
    """The value of the run in the figure."""

    drawn: float
    """The best of all its epochs, which the figure shows."""

    items: list[str]


@dataclass(frozen=True)
class Row:
    """One configuration: our trials and the recorded runs, at the same epoch."""

    config_key: str
    trials: list[int]
    label: str
    """The values that distinguish it from other rows, as text."""

    varying: dict[str, Scalar]
    epoch: int
    last_epoch: int
    """The last epoch of the recorded runs."""

    ours: Sample
    theirs: Sample
    their_runs: list[str]
    printed: list[Printed]
    best_epochs: list[BestEpoch]
    noise: Noise
    difference: Difference
    p_adjusted: float
    margin: float
    margin_of: str
    """The source of the margin: the paper's difference to its baseline, or a fixed value."""

    verdict: Verdict
    notes: list[str]


@dataclass(frozen=True)
class NotComparable:
    """Trials without a counterpart."""

    trials: list[int]
    why: str


@dataclass(frozen=True)
class Match:
    """Our trials of one configuration, and the numbers of its recorded runs."""

    group: Group
    runs: list[int]
    epoch: int


@dataclass(frozen=True)
class ComparedWithPaper:
    """The comparison of a sweep with the published runs, for programs."""

    sweep: str
    metric: str
    columns: list[str]
    """The fields in which rows differ, as in every table."""

    rows: list[Row]
    not_comparable: list[NotComparable]
    left_out: list[LeftOut]


@dataclass(frozen=True)
class PaperComparison(ComparedWithPaper):
    """The comparison of a sweep with the published runs."""

    matches: list[Match]
    """In the order of the rows."""

    def count(self, verdict: Verdict) -> int:
        """Return the number of rows with this verdict."""
        return sum(row.verdict == verdict for row in self.rows)

    def as_dict(self) -> dict[str, Any]:
        """Return the comparison for programs, with stable keys."""
        kept = {each.name: getattr(self, each.name) for each in dataclasses.fields(ComparedWithPaper)}
        return asdict(ComparedWithPaper(**kept))


def against_paper(
    sweep: OurSweep, runs: Runs, metric: str | None = None, margin: float | None = None
) -> PaperComparison:
    """Compare a sweep with the published runs.

    Args:
        sweep: The sweep, with protocol `paper`.
        runs: The published runs.
        metric: `test/accuracy` or `test/loss`; the sweep's metric if `None`.
        margin: The difference that must be resolved, in the metric's unit. If `None`, the difference that the paper
            shows between the configuration and its baseline, but at least `MARGINS`.

    Raises:
        UsageError: If the sweep has another protocol, or the published runs do not have the metric.
    """
    asked = metric or sweep.metric
    _require_comparable(sweep, asked)
    groups, left_out = grouped(sweep.trials, asked, configuration)
    lengths = runs.table.lengths
    matches, without = [], dict[str, list[int]]()
    for group in groups.values():
        found = runs.by_key.get(same_training(group.config))
        if not found:
            without.setdefault(_why_none(runs, group.config), []).extend(trial.number for trial in group.trials)
            continue
        epoch = min(group.epoch, int(lengths[found].max()))
        matches.append(Match(group, [number for number in found if lengths[number] >= epoch], epoch))
    columns = columns_of([match.group.config for match in matches])
    return PaperComparison(
        sweep=sweep.name,
        metric=asked,
        columns=[column.name for column in columns],
        rows=_rows(matches, columns, runs, asked, margin),
        not_comparable=[NotComparable(sorted(numbers), why) for why, numbers in without.items()],
        left_out=left_out,
        matches=matches,
    )


def _require_comparable(sweep: OurSweep, metric: str) -> None:
    if sweep.protocol != "paper":
        raise UsageError(
            f"evaluation.protocol must be paper to compare with the published runs, and {sweep.name} has "
            f"{sweep.protocol}: it was trained on fewer images and evaluated on others. Run its file again under "
            f"another name: convnn run FILE --set 'evaluation={{protocol: paper}}' --set name={sweep.name[:94]}-paper"
        )
    if metric not in METRICS:
        raise UsageError(f"--metric must be {' or '.join(METRICS)}, which the published runs have, got {metric}.")


@dataclass(frozen=True)
class _Measured:
    """The values from which a row is judged."""

    ours: Sample
    theirs: Sample
    noise: Noise
    difference: Difference
    margin: float
    margin_of: str


def _rows(
    matches: Sequence[Match], columns: Sequence[Column], runs: Runs, metric: str, margin: float | None
) -> list[Row]:
    measured = [_measured(match, runs, metric, margin) for match in matches]
    judged = verdicts([each.difference for each in measured], [each.margin for each in measured])
    names = labels([match.group.config for match in matches], columns)
    rows = []
    for match, each, (p, verdict), label in zip(matches, measured, judged, names, strict=True):
        config = match.group.config
        ids = [runs.table.runs[number].id for number in match.runs]
        values = fields(config)
        rows.append(
            Row(
                config_key=config_key(config),
                trials=[trial.number for trial in match.group.trials],
                label=label,
                varying={column.name: values.get(column.key) for column in columns},
                epoch=match.epoch,
                last_epoch=int(runs.table.lengths[match.runs].max()),
                their_runs=ids,
                printed=[place for name in ids for place in printed().get(name, ())],
                best_epochs=_best_epochs(match, runs) if metric == METRICS[0] else [],
                p_adjusted=p,
                verdict=verdict,
                notes=[note for note in (deviation(config), *_hardware(config)) if note is not None],
                **vars(each),
            )
        )
    return rows


def _measured(match: Match, runs: Runs, metric: str, margin: float | None) -> _Measured:
    curve = runs.table.curves[metric]
    theirs = sample(curve[match.runs, match.epoch - 1])
    noise = pooled_noise(runs, match.group.config, curve, match.epoch)
    assert noise is not None, "every model and data set of the published runs has repeats"
    ours = sample(match.group.values(metric, match.epoch))
    error = batch_mean_sd(theirs.mean) if metric == METRICS[0] else 0.0
    needed, of = _margin(runs, match, curve, metric, margin)
    return _Measured(ours, theirs, noise, difference(ours, theirs, noise, error), needed, of)


def _hardware(config: TrialConfig) -> list[str]:
    if config.training.precision == HARDWARE["precision"]:
        return []
    return [f"ours was trained in {config.training.precision}, theirs in fp32 with TF32 convolutions"]


def _best_epochs(match: Match, runs: Runs) -> list[BestEpoch]:
    """Return the best epochs for each run in a figure."""
    curve = runs.table.curves[METRICS[0]]
    ours = [max(trial.curves[METRICS[0]][e] for e in range(1, match.epoch + 1)) for trial in match.group.trials]
    found = []
    for number in match.runs:
        places = printed().get(runs.table.runs[number].id, ())
        items = sorted({place.item for place in places if place.kind in ("line", "horizontal")})
        if items:
            theirs, drawn = float(curve[number, : match.epoch].max()), float(np.nanmax(curve[number]))
            found.append(BestEpoch(float(np.mean(ours)), theirs, drawn, items))
    return found


def _margin(runs: Runs, match: Match, curve: Array, metric: str, margin: float | None) -> tuple[float, str]:
    """Return the margin and its source."""
    if margin is not None:
        return margin, "--margin"
    fixed = MARGINS[metric]
    base = baseline(match.group.config)
    numbers = [n for n in runs.by_key.get(same_training(base), ()) if runs.table.lengths[n] >= match.epoch]
    if numbers:
        shown = abs(float(curve[match.runs, match.epoch - 1].mean() - curve[numbers, match.epoch - 1].mean()))
        if shown > fixed:
            kind = "Conv2D" if base.model.name == "vgg11" else "attention"
            return shown, f"their difference to {kind}"
    return fixed, "fixed"


def baseline(config: TrialConfig) -> TrialConfig:
    """Return the configuration with the paper's baseline instead of its mixing layer."""
    tree = config.model_dump(mode="json", by_alias=True)
    layer = config.model.mixing_layer
    if config.model.name == "vgg11":
        tree["model"].pop("layers", None)
        tree["model"]["layer"] = {"kind": "conv2d", "kernel_size": getattr(layer, "kernel_size", 3)}
    else:
        tree["model"]["attention"] = {"kind": "attention"}
    return TrialConfig.model_validate(tree)


def _why_none(runs: Runs, config: TrialConfig) -> str:
    """Return why a configuration has no counterpart: the values that no published run has, and the published ones."""
    found: list[str] = []
    sizes: list[str] = []
    for path, value in runs.unrecorded(config):
        known = sorted({str(each) for each in runs.values.get(path, ())} - {"None"})
        theirs = f" (theirs {', '.join(known)})" if 0 < len(known) <= _FEW else ""
        is_size = path.startswith("data.") or (path.startswith("model.") and path.count(".") == 1 and path != BY_DEPTH)
        (sizes if is_size else found).append(f"{path} {value}{theirs}")
    if sizes:
        return f"other sizes of model or data are never compared with the paper: {', '.join(sizes)}"
    return ", ".join(found) or "no published run has this combination of values"


_FEW = 4
