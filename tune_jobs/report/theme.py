"""Colors of plots in light and dark mode. Data colors have medium brightness, so they suit both."""

from typing import Any

COLORS = (
    "#3b82c4",
    "#e07b39",
    "#3f9e6b",
    "#c9506b",
    "#8a6cc9",
    "#b08a2e",
    "#2fa3a8",
    "#b765b0",
    "#7d8f3a",
    "#6f7f95",
)
BEST, STOPPED, FAINT, FAINTER = "#e07b39", "#8a94a3", "rgba(130,140,155,0.45)", "rgba(130,140,155,0.2)"
RISING = [[0.0, "#93a9bf"], [0.6, "#3b82c4"], [0.85, "#8a6cc9"], [1.0, "#e8622c"]]
"""From the worst value to the best."""

COMPLETE = {"color": COLORS[0], "size": 7, "opacity": 0.8}
FEWER = {"color": STOPPED, "size": 6, "opacity": 0.7}
EARLY = {"color": STOPPED, "size": 6, "symbol": "circle-open", "opacity": 0.6}
"""Circles: comparable points, points with a different number of seeds, and trials that ended early."""
ORDERED = ("#2fa3a8", "#3b82c4", "#8a6cc9", "#c9506b", "#e07b39")
"""From the smallest number to the largest."""

CONFIG = {"responsive": True, "displaylogo": False, "modeBarButtonsToRemove": ["select2d", "lasso2d", "autoScale2d"]}
_FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif"


def template(text: str, line: str, paper: str, raised: str) -> dict[str, Any]:
    """Return a Plotly template with these colors."""
    axis = {
        "gridcolor": line,
        "zeroline": False,
        "linecolor": line,
        "tickcolor": line,
        "automargin": True,
        "title": {"standoff": 8},
    }
    return {
        "layout": {
            "font": {"family": _FONT, "size": 12, "color": text},
            "paper_bgcolor": paper,
            "plot_bgcolor": paper,
            "colorway": list(COLORS),
            "hoverlabel": {"bgcolor": raised, "bordercolor": line, "font": {"color": text}, "align": "left"},
            "margin": {"l": 10, "r": 10, "t": 32, "b": 10},
            "xaxis": axis,
            "yaxis": axis,
            "legend": {"bgcolor": "rgba(0,0,0,0)"},
            "modebar": {"bgcolor": "rgba(0,0,0,0)", "color": "#8a94a3", "activecolor": BEST},
        }
    }


CLEAR = "rgba(0,0,0,0)"
LIGHT = template("#1d2733", "#e2e7ed", CLEAR, "#ffffff")
DARK = template("#d6dde6", "#313b47", CLEAR, "#1b222b")
PRINTED = template("#1d2733", "#e2e7ed", "#ffffff", "#ffffff")
