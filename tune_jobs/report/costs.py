"""Plots of the objective against its cost: seconds, memory and GFLOPs, each with its Pareto front."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Any

from convnn.data.facts import DATASETS
from search_spaces import TrialConfig
from search_spaces.memory import needed_gb
from search_spaces.models.base import Kept
from tune_jobs.report import theme
from tune_jobs.report.axes import WIDE
from tune_jobs.report.metrics import hover
from tune_jobs.report.plots import LEGEND_ABOVE, Plot, new_figure
from tune_jobs.report.points import Point, Points, groups_of
from tune_jobs.results.row import Row
from tune_jobs.results.words import HOUR_S

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData

MEASURED = "gpu_mem_gb"
"""The metric with the peak GPU memory of an epoch."""

MINUTE_S = 60.0


@dataclass(frozen=True)
class Cost:
    """One kind of cost: its axis title, and the cost of each trial by run key, if known."""

    name: str
    axis: str
    of: Mapping[str, float]
    note: str = ""

    def __call__(self, point: Point) -> float | None:
        """Return the cost of a configuration: the mean over its seeds; `None` if unknown."""
        found = [self.of[row.run_key] for row in point.rows if row.run_key in self.of]
        return fmean(found) if found else None


def costs_of(data: "ReportData") -> list[Cost]:
    """Return the costs that are known for some trial."""
    rows, epoch_s = data.comparable, data.epochs.epoch_s
    gpu = data.spec is not None and data.spec.resources.gpus_per_trial > 0
    whole = {row.run_key: row.epoch * epoch_s[row.run_key] for row in rows if row.run_key in epoch_s}
    most = max(whole.values(), default=0.0)
    unit, seconds = next(
        ((name, unit) for name, unit in (("hours", HOUR_S), ("minutes", MINUTE_S)) if most >= unit), ("seconds", 1.0)
    )
    machines = "Seconds are measured, so other programs on the machine affect them."
    gflops = {key: size.gflops for key, size in data.sizes.items()}
    all_costs = [
        Cost("seconds per epoch", "seconds per epoch (median)", epoch_s, machines),
        Cost(
            "training time",
            f"{unit} of training: epochs times the median",
            {key: spent / seconds for key, spent in whole.items()},
            machines,
        ),
        _memory(rows, gpu=gpu),
        Cost("GFLOPs", "GFLOPs of one image's forward pass", gflops),
    ]
    return [cost for cost in all_costs if any(row.run_key in cost.of for row in rows)]


def _memory(rows: list[Row], *, gpu: bool) -> Cost:
    """Return the measured GPU memory if it is known for all trials, else the estimate of `convnn plan`."""
    measured = {row.run_key: row.metrics[MEASURED] for row in rows if MEASURED in row.metrics}
    if measured and len(measured) == len(rows):
        return Cost("peak memory", "peak memory on the GPU in GB", measured)
    parts: dict[str, tuple[int, list[Kept] | None]] = {}
    needed = {row.run_key: _needed_gb(row.config, parts, gpu=gpu) for row in rows}
    where = "on the GPU" if gpu else "of the process"
    return Cost(
        "peak memory",
        f"peak memory {where} in GB, estimated",
        {key: found for key, found in needed.items() if found is not None},
        "Memory was not measured: these are the estimates of convnn plan.",
    )


def _needed_gb(config: TrialConfig, parts: dict[str, tuple[int, list[Kept] | None]], *, gpu: bool) -> float | None:
    """Return `None` for a model without closed forms, which would have to be built; `parts` caches known models."""
    model, classes = config.model, DATASETS[config.data.name].classes
    key = f"{classes} {model.model_dump_json()}"
    if key not in parts:
        parts[key] = model.parameters(classes), model.kept(classes)
    parameters, kept = parts[key]
    return None if kept is None else needed_gb(config, parameters, kept, gpu=gpu)


def pareto(data: "ReportData") -> Plot:
    """Plot the objective against a cost that the reader selects, with the Pareto front."""
    metric, points = data.summary.metric, data.points
    key, title = "pareto", f"{metric} against cost"
    costs = costs_of(data) if points.everything else []
    if not points.everything:
        return Plot(key, title, "No trial has a value yet.")
    if not costs:
        none = "No cost is recorded, and the time was too short to measure one. To measure: convnn report."
        return Plot(key, title, none)
    figure = new_figure(metric, height=440)
    drawn = list(groups_of(points))
    for name, of, marker in drawn:
        figure.add_scatter(
            y=[point.value for point in of],
            name=name,
            mode="markers",
            marker=marker,
            text=[point.about(data.summary.columns) for point in of],
            hovertemplate=f"%{{text}}<br>%{{x:.4g}}: %{{y:{hover(metric)}}}<extra></extra>",
        )
    figure.add_scatter(
        name="Pareto front",
        mode="lines+markers",
        line={"color": theme.BEST, "width": 2, "shape": "hv"},
        marker={"size": 9, "color": theme.BEST},
        hovertemplate=f"%{{text}}<br>%{{x:.4g}}: %{{y:{hover(metric)}}}<extra>Pareto front</extra>",
    )
    choices = [_choice(data, cost, [of for _, of, _ in drawn], points.complete) for cost in costs]
    for trace, patch in zip(figure.data, choices[0]["data"], strict=True):
        trace.update(patch)
    figure.update_layout(xaxis=choices[0]["layout"]["xaxis"], meta={"choices": choices}, **LEGEND_ABOVE)
    names = [cost.name for cost in costs]
    return Plot(key, title, _note(points, costs), figure, chooses="horizontal axis:", choices=names)


def _choice(data: "ReportData", cost: Cost, drawn: list[list[Point]], complete: list[Point]) -> dict[str, Any]:
    """Return the data of each trace for this cost; the page inserts it into the figure."""
    front = front_of(complete, cost, maximize=data.summary.goal == "maximize")
    on_front = {
        "x": [_rounded(cost(point)) for point in front],
        "y": [point.value for point in front],
        "text": [point.about(data.summary.columns) for point in front],
    }
    known = [found for of in drawn for point in of if (found := cost(point)) is not None]
    log = min(known, default=0) > 0 and max(known) / min(known) >= WIDE
    axis = {"title": {"text": cost.axis}, "type": "log" if log else "linear"}
    return {
        "label": cost.name,
        "data": [*({"x": [_rounded(cost(point)) for point in of]} for of in drawn), on_front],
        "layout": {"xaxis": axis},
    }


def front_of(points: list[Point], cost: Cost, *, maximize: bool) -> list[Point]:
    """Return the Pareto front, the cheapest first: no point is better without being more expensive."""
    sign = 1 if maximize else -1
    known = [(found, point) for point in points if (found := cost(point)) is not None]
    front: list[Point] = []
    for _, point in sorted(known, key=lambda each: (each[0], -sign * each[1].value)):
        if not front or sign * point.value > sign * front[-1].value:
            front.append(point)
    return front


def _rounded(value: float | None) -> float | None:
    return None if value is None or not math.isfinite(value) else float(f"{value:.5g}")


def _note(points: Points, costs: list[Cost]) -> str:
    parts = ["No complete configuration is both better and cheaper than one on the Pareto front."]
    if points.seeds == 1:
        parts.append("Each has one seed, so small differences along the front may be chance.")
    parts.append(points.note)
    parts += dict.fromkeys(cost.note for cost in costs)
    for cost in costs:
        unknown = sum(cost(point) is None for point in points.everything)
        if unknown:
            parts.append(f"{unknown} without known {cost.name} are left out of that plot.")
    return " ".join(filter(None, parts))
