"""Plots of trials over their epochs: learning curves, and where the stopping rule ended them."""

from textwrap import wrap
from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from tune_jobs.display.tables import numbers
from tune_jobs.report import theme
from tune_jobs.report.colors import Coloring, coloring
from tune_jobs.report.lines import Line, evenly, lines_of, spread_of
from tune_jobs.report.metrics import hover
from tune_jobs.report.plots import LEGEND_ABOVE, Plot, new_figure
from tune_jobs.results.columns import SEED, Column, named

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData

COLORED = 20
"""Number of learning curves in individual colors; the rest is background."""

LINES = 60
"""Up to this many other curves are drawn as lines; more become a band, and this many get a color by field."""

FEW_EPOCHS = 12
"""Up to this many epochs each have a tick."""

POINTS = 300
"""Maximum number of points of a curve."""

HOVER = 44
"""Maximum line length in the description of a curve, in characters."""

SHORT = 3
"""A curve with up to this many points is drawn with markers, so that it is visible."""

FILL = "2b"
"""Opacity of a band over seeds, as a hexadecimal number up to ff."""


def learning_curves(data: "ReportData") -> Plot:
    """Plot the objective at each epoch, colored by trial or by a field."""
    metric, key, title = data.summary.metric, "learning-curves", "Learning curves"
    lines = lines_of(data.summary.shown, data.epochs.curves)
    if not lines:
        return Plot(key, title, "No trial has finished an epoch yet.")
    figure = new_figure(metric, height=500)
    best, rest = lines[:COLORED], lines[COLORED:]
    many = len(rest) > LINES
    behind = _background(figure, rest) if many else []
    drawn = [line.thinned(POINTS) for line in (*best, *evenly(rest, LINES))]
    bands = [
        [_band(figure, line, theme.COLORS[place % len(theme.COLORS)]), place]
        for place, line in enumerate(drawn[:COLORED])
        if line.several
    ]
    places = [0] * len(drawn)
    for place, line in reversed(list(enumerate(drawn))):  # the best on top
        places[place] = len(figure.data)
        figure.add_scatter(**_trace(data, line, place, hidden=many and place >= COLORED))
    colorings = _colorings(data, drawn)
    meta = {"lines": places, "bands": bands, "behind": behind, "colorings": [vars(each) for each in colorings]}
    figure.update_layout(
        xaxis=_epoch_axis(lines),
        showlegend=True,
        legend={"tracegroupgap": 0},
        meta={"legend": "wide", **(meta if colorings else {})},
    )
    choices = ["trial", *(each.name for each in colorings)] if colorings else []
    return Plot(
        key, title, _note(data, best, rest, colored=bool(colorings)), figure, chooses="color by", choices=choices
    )


def rungs(data: "ReportData") -> Plot:
    """Plot how many trials the stopping rule ended at each epoch."""
    key, title = "stopping", "Stopped early"
    judged = [row for row in data.summary.shown if row.repeat_of is None]
    stopped = [row.epoch for row in judged if row.state == "stopped"]
    at = sorted({rung.epoch for rung in data.ladder} | set(stopped))
    if not at:
        none = "The sweep has no stopping rule: every trial runs to its last epoch."
        return Plot(key, title, "The stopping rule has not stopped any trial." if data.at_most else none)
    if not stopped and all(row.epoch <= at[0] for row in judged):
        return Plot(key, title, f"No trial has run beyond epoch {at[0]}, where the stopping rule first decides.")
    reached = [row.epoch for row in judged if row.epoch]
    ended = [stopped.count(epoch) for epoch in at]
    went_on = [sum(epoch > rung for epoch in reached) for rung in at]
    figure = new_figure("trials", height=320)
    names = [f"epoch {epoch}" for epoch in at]
    for name, counts, color in (("continued", went_on, theme.COLORS[0]), ("stopped", ended, theme.STOPPED)):
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


def _note(data: "ReportData", best: list[Line], rest: list[Line], *, colored: bool) -> str:
    seeds = sorted(len(line.rows) for line in (*best, *rest) if line.several)
    noun, many = "configurations" if seeds else "trials", len(rest) > LINES
    note = f"{data.summary.metric} after each epoch."
    if rest:
        note += (
            f" {'By trial, the' if colored else 'The'} best {len(best)} {noun} are in color, the other {len(rest)} in "
            f"grey"
        )
        note += ", as the median and the middle 80% of those that reached each epoch." if many else "."
        if many and colored:
            note += f" Colors by a field show these {len(best)} and {LINES} of the others, from all ranks."
    if seeds:
        n = f"{seeds[0]}" if seeds[0] == seeds[-1] else f"{seeds[0]} to {seeds[-1]}"
        note += f" Configurations with {n} seeds are drawn as their mean"
        note += f"; the best {len(best)} have a band" if rest else ", with a band"
        note += " from the lowest to the highest; seeds that ended earlier than the others are left out."
    return note


def _epoch_axis(lines: list[Line]) -> dict[str, Any]:
    """Return an axis from the first epoch that has a number to the last one."""
    first, last = (int(side(line.curve.epochs[at] for line in lines)) for side, at in ((min, 0), (max, -1)))
    few = {"dtick": 1, "tick0": first} if last - first < FEW_EPOCHS else {}
    return {"title": "epoch", "range": [first - 0.3, last + max(0.3, 0.01 * (last - first))], **few}


def _trace(data: "ReportData", line: Line, place: int, *, hidden: bool) -> dict[str, Any]:
    metric, best = data.summary.metric, line.rows[0]
    one, own = f"trial {best.number}", place < COLORED
    whose = f"mean of {len(line.rows)} seeds (trials {numbers(line.rows)})" if line.several else one
    config = wrap(", ".join(named(best.fields, data.summary.columns)), HOVER)
    described = "".join(f"<br>%{{meta[{at}]}}" for at in range(len(config)))
    color = theme.COLORS[place % len(theme.COLORS)] if own else theme.FAINT
    grouped = {} if own else {"legendgroup": "others", "showlegend": place == COLORED and not hidden}
    return {
        "x": line.curve.epochs.tolist(),
        "y": line.curve.values.tolist(),
        "name": (f"{one} ({len(line.rows)} seeds)" if line.several else one) if own else "others",
        "mode": "lines+markers" if len(line.curve) <= SHORT else "lines",
        "line": {
            "color": color,
            "dash": "solid" if place < len(theme.COLORS) or not own else "dot",
            "width": 3 if place == 0 else 1.5 if own else 1,
        },
        "legendrank": place,
        "meta": config,
        "hovertemplate": f"{whose}, epoch %{{x}}: %{{y:{hover(metric)}}}{described}<extra></extra>",
        **grouped,
        **({"visible": False} if hidden else {}),
    }


def _band(figure: go.Figure, line: Line, color: str) -> int:
    """Draw the range over several seeds; return its index among the traces."""
    x, low, high = line.curve.epochs.tolist(), line.low.tolist(), line.high.tolist()
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*high, *reversed(low)],
        fill="toself",
        fillcolor=color + FILL,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        showlegend=False,
    )
    return len(figure.data) - 1


def _colorings(data: "ReportData", drawn: list[Line]) -> list[Coloring]:
    """Return a coloring for each field that differs between the lines."""
    if len(drawn) == 1:
        return []
    rows = [line.rows[0] for line in drawn]
    columns: list[Column] = [column for column in data.summary.columns if column.name != SEED]
    found = (coloring(column, rows, data.declared.get(column.key)) for column in columns)
    return [each for each in found if each is not None]


def _background(figure: go.Figure, lines: list[Line]) -> list[int]:
    """Draw the other lines as a band; return the indices of its traces."""
    epochs, (low, middle, high) = spread_of(lines, POINTS, (0.1, 0.5, 0.9))
    x = epochs.tolist()
    figure.add_scatter(
        x=[*x, *reversed(x)],
        y=[*high.tolist(), *reversed(low.tolist())],
        fill="toself",
        fillcolor=theme.FAINTER,
        line={"width": 0},
        mode="lines",
        hoverinfo="skip",
        name="middle 80% of the others",
    )
    figure.add_scatter(
        x=x,
        y=middle.tolist(),
        mode="lines",
        line={"color": theme.STOPPED, "width": 2},
        hoverinfo="skip",
        name="their median",
    )
    return [0, 1]
