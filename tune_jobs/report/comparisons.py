"""Plots of which configurations were good: by parameters, one at a time or all at once, and by cost."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.report import theme
from tune_jobs.report.axes import Parameter, scale_of
from tune_jobs.report.importance import importance_of
from tune_jobs.report.lines import evenly
from tune_jobs.report.metrics import hover, value_axis
from tune_jobs.report.plots import LEGEND_ABOVE, Plot, about, by_state, new_figure
from tune_jobs.results.columns import label
from tune_jobs.results.row import Row

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData

SLICES = 16
POINTS = 1000
"""Trials of a plot of points; browsers are slow with more."""

AXES = 14


def parallel_coordinates(data: "ReportData", parameters: list[Parameter]) -> Plot:
    """Every trial a line through its parameters to its value."""
    key, title, metric = "parallel-coordinates", "Parallel coordinates", data.summary.metric
    rows, shown = data.comparable[::-1], parameters[:AXES]  # the best are drawn last, on top
    if len(rows) < 2 or not shown:  # noqa: PLR2004
        return Plot(key, title, "This needs two trials with a value, and a parameter in which they differ.")
    dimensions: list[dict[str, Any]] = []
    for parameter in shown:
        scale = scale_of(parameter.values.values())
        dimensions.append(
            {
                "label": parameter.name,
                "values": [scale.places[parameter.values[row.run_key]] for row in rows],
                "range": scale.range,
                "tickvals": scale.ticks,
                "ticktext": scale.labels,
            }
        )
    values = [row.value for row in rows if row.value is not None]
    note = f"Each line is one of {len(rows)} trials, warm colors are better. Drag along an axis to choose a range."
    warm = [value if data.summary.goal == "maximize" else -value for value in values]
    early = [row for row in rows if row.state != "complete"]
    if early:
        epochs = [float(row.epoch) for row in rows]
        dimensions.append({"label": "epoch", "values": epochs, **value_axis(epochs, "epoch")})
        warm = [float(place) for place in range(len(rows))]
        note += (
            f" {len(early)} did not run to the end, and have the value of their last epoch: warmer is higher on the "
            f"leaderboard, where they come last. The axis of epochs chooses those that may be compared."
        )
    dimensions.append({"label": metric, "values": values, **value_axis(values, metric)})
    figure = new_figure(metric, height=430)
    figure.add_parcoords(
        dimensions=[_to_its_ends(dimension) for dimension in dimensions],
        line={"color": warm, "colorscale": theme.RISING},
        labelangle=0,
        rangefont={"color": theme.CLEAR},
        labelfont={"size": 12},
        tickfont={"size": 11},
    )
    figure.update_layout(margin={"l": 60, "r": 60, "t": 64, "b": 24})
    if len(parameters) > AXES:
        note += f" {len(parameters) - AXES} more parameters vary."
    return Plot(key, title, note, figure, width=110 * len(dimensions) + 60)


def _to_its_ends(dimension: dict[str, Any]) -> dict[str, Any]:
    """The axis with two blank ticks: Plotly draws it from its first tick to its last, and lines would end beyond."""
    low, high = dimension["range"]
    ticks, texts = dimension["tickvals"], dimension["ticktext"]
    return dimension | {"tickvals": [low, *ticks, high], "ticktext": ["", *texts, " "]}


def importance(data: "ReportData") -> Plot:
    """How much each parameter decided."""
    found = importance_of(data)
    if not found.shares:
        return Plot("importance", "Importance of parameters", found.note)
    names = list(reversed(found.shares))
    shares = list(reversed(found.shares.values()))
    figure = new_figure("", height=90 + 30 * len(names))
    figure.add_bar(
        x=shares,
        y=names,
        orientation="h",
        marker={"color": theme.COLORS[0]},
        text=[f"{share:.0%}" for share in shares],
        textposition="auto",
        hovertemplate="%{y}: %{x:.1%}<extra></extra>",
    )
    figure.update_layout(xaxis={"tickformat": ".0%", "rangemode": "tozero"}, yaxis={"type": "category"}, bargap=0.35)
    return Plot("importance", "Importance of parameters", found.note, figure)


def slices(data: "ReportData", parameters: list[Parameter]) -> list[Plot]:
    """The value against each parameter."""
    if not parameters:
        return [Plot("slices", "Slices", "No parameter differs between trials that have a value.")]
    return [_slice(data, parameter) for parameter in parameters[:SLICES]]


def note_of_slices(data: "ReportData") -> str:
    """What the circles of the slices are."""
    rows = data.comparable
    early = sum(row.state != "complete" for row in evenly(rows, POINTS))
    hollow = f"Full circles ran to the end; {early} hollow ones did not, and have the value of their last epoch."
    return _sampled(rows) + (hollow if early else "")


def _sampled(rows: list[Row]) -> str:
    """What is said where not all trials are drawn."""
    return f"Drawn are {POINTS:,} of the {len(rows):,} trials, from all ranks. " if len(rows) > POINTS else ""


def _slice(data: "ReportData", parameter: Parameter) -> Plot:
    metric = data.summary.metric
    scale = scale_of(parameter.values.values())
    figure = new_figure(metric, height=300)
    spread = np.random.default_rng(0)
    for name, rows, marker in by_state(evenly(data.comparable, POINTS)):
        jitter = spread.uniform(-0.16, 0.16, len(rows)) if scale.categorical else np.zeros(len(rows))
        places = [scale.places[parameter.values[row.run_key]] + shift for row, shift in zip(rows, jitter, strict=True)]
        figure.add_scatter(
            x=[round(place, 5) for place in places],
            y=[row.value for row in rows],
            name=name,
            mode="markers",
            marker=marker,
            text=[f"trial {row.number}, {parameter.name} {label(parameter.values[row.run_key])}" for row in rows],
            hovertemplate=f"%{{text}}: %{{y:{hover(metric)}}}<extra></extra>",
        )
    axis = {"range": scale.range, "tickvals": scale.ticks, "ticktext": scale.labels}
    figure.update_layout(xaxis={"title": parameter.name, **axis}, showlegend=False)
    return Plot(f"slice-{''.join(c if c.isalnum() else '-' for c in parameter.name)}", parameter.name, "", figure)


def pareto(data: "ReportData") -> Plot:
    """The value against what a forward pass costs, and the trials that none beats in both."""
    metric = data.summary.metric
    key, title = "pareto", f"{metric} against GFLOPs"
    rows = [row for row in data.comparable if row.run_key in data.sizes]
    if not data.comparable:
        return Plot(key, title, "No trial has a value yet.")
    if not rows:
        return Plot(key, title, "GFLOPs are not recorded, and were not measured in the time there was: convnn report.")
    figure = new_figure(metric, height=400)
    for name, some, marker in by_state(evenly(rows, POINTS)):
        figure.add_scatter(
            x=[data.sizes[row.run_key].gflops for row in some],
            y=[row.value for row in some],
            name=name,
            mode="markers",
            marker=marker,
            text=[about(row, data.summary.columns) for row in some],
            hovertemplate=f"%{{text}}<br>%{{x:.4g}} GFLOPs: %{{y:{hover(metric)}}}<extra></extra>",
        )
    front = _front(data, [row for row in rows if row.state == "complete"])
    figure.add_scatter(
        x=[data.sizes[row.run_key].gflops for row in front],
        y=[row.value for row in front],
        name="Pareto front",
        mode="lines+markers",
        line={"color": theme.BEST, "width": 2, "shape": "hv"},
        marker={"size": 9, "color": theme.BEST},
        text=[about(row, data.summary.columns) for row in front],
        hovertemplate=f"%{{text}}<br>%{{x:.4g}} GFLOPs: %{{y:{hover(metric)}}}<extra>Pareto front</extra>",
    )
    figure.update_layout(xaxis={"title": "GFLOPs of one image's forward pass", "minallowed": 0}, **LEGEND_ABOVE)
    note = f"{_sampled(rows)}No complete trial is both better and cheaper than one on the front."
    if len(rows) < len(data.comparable):
        note += f" {len(data.comparable) - len(rows)} trials are left out: their GFLOPs were not measured in time."
    return Plot(key, title, note, figure)


def _front(data: "ReportData", rows: list[Row]) -> list[Row]:
    sign = 1 if data.summary.goal == "maximize" else -1
    front: list[Row] = []
    best = -np.inf
    for row in sorted(rows, key=lambda row: (data.sizes[row.run_key].gflops, -sign * (row.value or 0))):
        if row.value is not None and sign * row.value > best:
            front.append(row)
            best = sign * row.value
    return front
