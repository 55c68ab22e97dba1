"""Plots that compare configurations by their parameters, one at a time or all together."""

from typing import TYPE_CHECKING, Any

import numpy as np

from tune_jobs.report import theme
from tune_jobs.report.axes import Parameter
from tune_jobs.report.importance import importance_of
from tune_jobs.report.metrics import hover, value_axis
from tune_jobs.report.plots import LEGEND_ABOVE, Plot, new_figure
from tune_jobs.report.points import Point, groups_of
from tune_jobs.results.columns import label

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData

SLICES = 16

AXES = 14

CHOSEN, CHOSEN_SHARE = 10, 0.1
"""The best tenth, but at least ten, is selected on the axis of the objective; the other lines are faint."""

LONGEST, LONGEST_NAME = 13, 18
"""Maximum number of characters of a label beside an axis of parallel coordinates, and above it."""

CHARACTER_PX, GAP_PX = 6, 24

TICKS = 5
"""Approximate number of ticks in a slice of a range."""


def parallel_coordinates(data: "ReportData", parameters: list[Parameter]) -> Plot:
    """Draw every configuration as a line through its parameters to its value."""
    key, title, metric = "parallel-coordinates", "Parallel coordinates", data.summary.metric
    points, shown = data.points, parameters[:AXES]
    lines = [*points.complete, *points.early][::-1]
    if len(lines) < 2 or not shown:  # noqa: PLR2004
        return Plot(key, title, "This needs two trials with a value, and a parameter that differs between them.")
    values = [point.value for point in lines]
    best = points.complete[: max(CHOSEN, round(CHOSEN_SHARE * len(points.complete)))]
    choose = len(points.complete) > len(best)
    dimensions = [_dimension(parameter, lines) for parameter in shown]
    noun = "configurations" if points.seeds > 1 else "trials"
    note = f"Each line is one of {len(lines)} {noun}; warmer colors are better."
    warm = [value if data.summary.goal == "maximize" else -value for value in values]
    if points.early:
        epochs = [float(point.rows[0].epoch) for point in lines]
        dimensions.append({"label": "epoch", "values": epochs, **value_axis(epochs, "epoch")})
        if choose:
            dimensions[-1] |= _chosen([float(point.rows[0].epoch) for point in points.complete])
        warm = [float(place) for place in range(len(lines))]
        note += (
            f" {len(points.early)} did not run to the end, and show the value of their last epoch: a warmer color is a "
            f"higher rank on the leaderboard, where they come last. The epoch axis selects the comparable ones."
        )
    dimensions.append({"label": metric, "values": values, **value_axis(values, metric)})
    if choose:
        dimensions[-1] |= _chosen([point.value for point in best])
        note += f" The best {len(best)} are selected on the last axis; the others are faint."
    if points.fewer:
        note += f" {len(points.fewer)} with a different number of seeds are left out."
    note += " Drag along an axis to select a range; click on the axis to select all."
    if len(parameters) > AXES:
        note += f" {len(parameters) - AXES} more parameters vary."
    figure = new_figure(metric, height=430)
    figure.add_parcoords(
        dimensions=dimensions,
        line={"color": warm, "colorscale": theme.RISING},
        unselected={"line": {"color": theme.STOPPED}},  # Plotly makes them fainter if there are more
        labelangle=0,
        labelfont={"size": 12},
        rangefont={"size": 11},
        tickfont={"size": 11},
    )
    figure.update_layout(margin={"l": 68, "r": 68, "t": 64, "b": 24})
    longest = max(
        len(text) for dimension in dimensions for text in (*dimension.get("ticktext", ()), dimension["label"])
    )
    return Plot(key, title, note, figure, width=(CHARACTER_PX * longest + GAP_PX) * len(dimensions) + 60)


def _dimension(parameter: Parameter, lines: list[Point]) -> dict[str, Any]:
    scale = parameter.scale
    return {
        "label": _short(parameter.name, LONGEST_NAME),
        "values": [scale.places[parameter.values[point.rows[0].run_key]] for point in lines],
        "range": scale.ends,
        "tickvals": scale.ticks,
        "ticktext": [_short(text) for text in scale.labels],
    }


def _short(text: str, longest: int = LONGEST) -> str:
    return text if len(text) <= longest else f"…{text[1 - longest :]}"


def _chosen(values: list[float]) -> dict[str, Any]:
    """Select the range of these values on an axis, until the reader selects another."""
    low, high = min(values), max(values)
    edge = 1e-6 * (abs(low) + abs(high))
    return {"constraintrange": [low - edge, high + edge]}


def importance(data: "ReportData") -> Plot:
    """Plot how much each parameter explains."""
    found = importance_of(data.summary)
    if not found.shares:
        return Plot("importance", "Importance of parameters", found.note)
    names, shares = list(found.shares)[::-1], list(found.shares.values())[::-1]
    figure = new_figure("", height=90 + 34 * len(names))
    figure.add_bar(
        x=[share.value for share in shares],
        y=names,
        orientation="h",
        marker={"color": [theme.COLORS[0] if share.low > 0 else theme.STOPPED for share in shares]},
        error_x={
            "type": "data",
            "array": [share.high - share.value for share in shares],
            "arrayminus": [share.value - share.low for share in shares],
            "color": theme.BEST,
            "thickness": 1.5,
        },
        customdata=[[share.low, share.high] for share in shares],
        hovertemplate="%{y}: %{x:.0%}, %{customdata[0]:.0%} to %{customdata[1]:.0%}<extra></extra>",
    )
    figure.update_layout(
        xaxis={"tickformat": ".0%", "rangemode": "tozero", "maxallowed": 1}, yaxis={"type": "category"}, bargap=0.45
    )
    return Plot("importance", "Importance of parameters", found.note, figure)


def slices(data: "ReportData", parameters: list[Parameter]) -> list[Plot]:
    """Plot the objective against each parameter."""
    if not parameters:
        return [Plot("slices", "Slices", "No parameter differs between trials that have a value.")]
    return [_slice(data, parameter) for parameter in parameters[:SLICES]]


def note_of_slices(data: "ReportData") -> str:
    """Explain the circles of the slices."""
    points = data.points
    hidden = points.complete and points.early
    return f"{points.note}{' Click on their name in the legend to show them.' if hidden else ''}"


def _slice(data: "ReportData", parameter: Parameter) -> Plot:
    metric, scale, points = data.summary.metric, parameter.scale, data.points
    figure = new_figure(metric, height=300)
    spread = np.random.default_rng(0)
    for name, of, marker in groups_of(points):
        jitter = spread.uniform(-0.16, 0.16, len(of)) if scale.categorical else np.zeros(len(of))
        values = [parameter.values[point.rows[0].run_key] for point in of]
        figure.add_scatter(
            x=[round(scale.places[value] + shift, 5) for value, shift in zip(values, jitter, strict=True)],
            y=[point.value for point in of],
            name=name,
            mode="markers",
            marker=marker,
            text=[f"{point.trials}, {label(value)}" for point, value in zip(of, values, strict=True)],
            hovertemplate=f"%{{text}}: %{{y:{hover(metric)}}}<extra></extra>",
        )
    if points.complete and points.early:
        figure.data[0].visible = "legendonly"
        figure.update_layout(**LEGEND_ABOVE)
    else:
        figure.update_layout(showlegend=False)
    shown = range(len(scale.ticks)) if scale.categorical else _few(len(scale.ticks))
    ticks, labels = [scale.ticks[at] for at in shown], [scale.labels[at] for at in shown]
    axis = {"range": scale.range, "tickvals": ticks, "ticktext": labels}
    figure.update_layout(xaxis={"title": parameter.name, **axis})
    return Plot(f"slice-{''.join(c if c.isalnum() else '-' for c in parameter.name)}", parameter.name, "", figure)


def _few(ticks: int) -> list[int]:
    """Return the indices of about as many ticks as fit into a small plot, including the first and the last."""
    step = -(-(ticks - 1) // TICKS) or 1
    return [*range(0, ticks - step, step), ticks - 1]
