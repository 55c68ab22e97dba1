"""Plots of how trials went on: learning curves, and where the stopping rule ended them."""

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from tune_jobs.report import theme
from tune_jobs.report.metrics import hover
from tune_jobs.report.plots import LEGEND_ABOVE, Plot, new_figure
from tune_jobs.results.row import Row

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData

COLORED = 20
"""Learning curves that are told apart; the rest is the background."""

LINES = 60
"""As many others are drawn as lines; more as a band."""

FEW_EPOCHS = 12
"""So many are written under the axis one by one."""

POINTS = 300
"""A curve has no more points than this."""


def learning_curves(data: "ReportData") -> Plot:
    """The objective by epoch."""
    metric, key, title = data.summary.metric, "learning-curves", "Learning curves"
    lines = [(row, _curve(data, row)) for row in data.summary.shown]
    lines = [(row, line) for row, line in lines if line]
    if not lines:
        return Plot(key, title, "No trial has finished an epoch yet.")
    figure = new_figure(metric, height=470)
    best, rest = lines[:COLORED], lines[COLORED:]
    note = f"{metric} after each epoch."
    if rest:
        _background(figure, [line for _, line in rest])
        note += f" In color the best {len(best)} trials; in grey the other {len(rest)}" + (
            ": their median and 8 in 10 of them, at each epoch of those that came so far." if len(rest) > LINES else "."
        )
    for place, (row, line) in reversed(list(enumerate(best))):
        shown = line[:: -(-len(line) // POINTS)] + ([line[-1]] if len(line) > POINTS else [])
        figure.add_scatter(
            x=[epoch for epoch, _ in shown],
            y=[value for _, value in shown],
            name=f"trial {row.number}",
            mode="lines+markers" if len(shown) <= 3 else "lines",  # noqa: PLR2004 - a short line is hardly seen
            line={
                "color": theme.COLORS[place % len(theme.COLORS)],
                "dash": "solid" if place < len(theme.COLORS) else "dot",
                "width": 3 if place == 0 else 1.5,
            },
            legendrank=place,
            hovertemplate=f"trial {row.number}, epoch %{{x}}: %{{y:{hover(metric)}}}<extra></extra>",
        )
    few = max(epoch for _, line in lines for epoch, _ in line) <= FEW_EPOCHS
    axis = {"title": "epoch", "rangemode": "tozero", **({"dtick": 1} if few else {})}
    figure.update_layout(xaxis=axis, showlegend=True, meta={"legend": "wide"})
    return Plot(key, title, note, figure)


def rungs(data: "ReportData") -> Plot:
    """How many trials the stopping rule ended where."""
    key, title = "stopping", "Stopped early"
    judged = [row for row in data.summary.shown if row.repeat_of is None]
    stopped = [row.epoch for row in judged if row.state == "stopped"]
    at = sorted({rung.epoch for rung in data.ladder} | set(stopped))
    if not at:
        none = "The sweep has no stopping rule: every trial runs to its last epoch."
        return Plot(key, title, "The stopping rule has stopped no trial." if data.at_most else none)
    if not stopped and all(row.epoch <= at[0] for row in judged):
        return Plot(key, title, f"No trial has come beyond epoch {at[0]}, where the stopping rule looks first.")
    reached = [row.epoch for row in judged if row.epoch]
    ended = [stopped.count(epoch) for epoch in at]
    went_on = [sum(epoch > rung for epoch in reached) for rung in at]
    figure = new_figure("trials", height=320)
    names = [f"epoch {epoch}" for epoch in at]
    for name, counts, color in (("went on", went_on, theme.COLORS[0]), ("stopped there", ended, theme.STOPPED)):
        figure.add_bar(
            x=names,
            y=counts,
            name=name,
            marker={"color": color},
            text=[str(count) if count else "" for count in counts],
            insidetextfont={"color": "#11161c" if color == theme.STOPPED else "#ffffff"},
            hovertemplate=f"%{{x}}: %{{y}} {name}<extra></extra>",
        )
    figure.update_layout(barmode="stack", xaxis={"type": "category"}, bargap=0.4, **LEGEND_ABOVE)
    note = f"The stopping rule ended {len(stopped)} of the {len(reached)} trials that ran an epoch."
    if data.risk is not None:
        risk = str(data.risk)
        note += f" {risk[0].upper()}{risk[1:]}."
    return Plot(key, title, note, figure)


def _curve(data: "ReportData", row: Row) -> list[tuple[int, float]]:
    values = ((e.epoch, e.metrics.get(data.summary.metric)) for e in data.curves.get(row.run_key, ()))
    return [(epoch, value) for epoch, value in values if value is not None and np.isfinite(value)]


def _background(figure: go.Figure, lines: list[list[tuple[int, float]]]) -> None:
    if len(lines) <= LINES:
        x: list[int | None] = []
        y: list[float | None] = []
        for line in lines:
            x += [*(epoch for epoch, _ in line), None]
            y += [*(value for _, value in line), None]
        figure.add_scatter(
            x=x, y=y, mode="lines", line={"color": theme.FAINT, "width": 1}, hoverinfo="skip", name="others"
        )
        return
    values: dict[int, list[float]] = {}
    for line in lines:
        for epoch, value in line:
            values.setdefault(epoch, []).append(value)
    epochs = sorted(values)
    low, middle, high = np.transpose([np.quantile(values[epoch], (0.1, 0.5, 0.9)) for epoch in epochs])
    figure.add_scatter(
        x=[*epochs, *reversed(epochs)],
        y=[*map(float, high), *map(float, reversed(low))],
        fill="toself",
        fillcolor=theme.FAINTER,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="8 in 10 others",
    )
    figure.add_scatter(
        x=epochs,
        y=[*map(float, middle)],
        mode="lines",
        line={"color": theme.STOPPED, "width": 2},
        hoverinfo="skip",
        name="their median",
    )
