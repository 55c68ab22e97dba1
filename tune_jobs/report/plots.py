"""What all plots have in common: Plotly figures without the colors of page and text, which `theme` adds."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from tune_jobs.report.metrics import bounds, ticks
from tune_jobs.system.visible import visible


@dataclass(frozen=True)
class Plot:
    """A figure and what is said above it; or, where there is nothing to draw, what is said instead."""

    key: str
    title: str
    note: str
    figure: go.Figure | None = None
    width: int = 0
    """It is scrolled where the screen is narrower, in pixels."""

    chooses: str = ""
    """What the menu above it chooses."""

    choices: Sequence[str] = ()
    """Of the menu; what each does is in the layout's `meta`."""


DIGITS = 7
"""Of a plotted number; more are not seen, and make pages large."""

LEGEND_ABOVE: dict[str, Any] = {
    "showlegend": True,
    "legend": {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"},
}


def new_figure(metric: str, height: int) -> go.Figure:
    figure = go.Figure(layout={"template": "none", "height": height})
    return figure.update_layout(
        yaxis={"title": metric, "tickformat": ticks(metric), **bounds(metric)}, hovermode="closest"
    )


def for_plotly(figure: go.Figure) -> dict[str, Any]:
    """A figure as JSON, without a template, its numbers as exact as can be seen.

    Plotly reads texts as HTML, so what came into it as text is escaped.
    """
    found = figure.to_plotly_json()
    found["layout"].pop("template", None)
    escaped = _escaped(found)
    assert isinstance(escaped, dict)
    return escaped


def _escaped(value: object) -> object:
    if isinstance(value, str):
        return html.escape(visible(value), quote=False)  # Plotly does not know &quot;
    if isinstance(value, float):
        return float(f"{value:.{DIGITS}g}")
    if isinstance(value, list | tuple):
        return list(map(_escaped, value))
    if not isinstance(value, dict):
        return value
    # Templates are HTML of ours around such texts; ticks of parallel coordinates, whose axes have a label, are no HTML.
    as_they_are = {"hovertemplate", "ticktext"} if "label" in value else {"hovertemplate"}
    return {name: item if name in as_they_are else _escaped(item) for name, item in value.items()}
