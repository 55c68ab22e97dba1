"""The base of all plots: Plotly figures without the colors of page and text, which `theme` adds."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go

from tune_jobs.report.metrics import bounds, ticks
from tune_jobs.system.visible import visible


@dataclass(frozen=True)
class Plot:
    """A figure with a note above it; without a figure, the note says why."""

    key: str
    title: str
    note: str
    figure: go.Figure | None = None
    width: int = 0
    """Minimum width in pixels; a narrower screen scrolls."""

    chooses: str = ""
    """Label of the menu above the plot."""

    choices: Sequence[str] = ()
    """Choices of the menu; their effects are in the layout's `meta`."""


DIGITS = 7
"""Significant digits of a plotted number; more are not visible, and make pages large."""

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
    """Return a figure as JSON, without a template, and with numbers rounded to `DIGITS`.

    Plotly reads text as HTML, so text from data is escaped.
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
    # Hover templates are our HTML around escaped text. Tick texts of parallel coordinates (axes with a label) are not
    # HTML.
    as_they_are = {"hovertemplate", "ticktext"} if "label" in value else {"hovertemplate"}
    return {name: item if name in as_they_are else _escaped(item) for name, item in value.items()}
