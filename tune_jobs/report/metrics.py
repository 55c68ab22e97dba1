"""Axes of an objective: an accuracy in percent, a loss as it is."""

from typing import Any

from tune_jobs.report.axes import even_ticks
from tune_jobs.results.words import shown


def ticks(metric: str) -> str:
    """Plotly's format of an axis."""
    return "~%" if "accuracy" in metric else ""


def bounds(metric: str) -> dict[str, float]:
    """Where an axis ends at the latest, with room for a marker on the edge."""
    return {"minallowed": -0.02, "maxallowed": 1.02} if "accuracy" in metric else {}


def hover(metric: str) -> str:
    """Plotly's format of one value."""
    return ".2%" if "accuracy" in metric else ".4f"


def value_axis(values: list[float], metric: str) -> dict[str, Any]:
    """Plotly's range and ticks for an axis of parallel coordinates."""
    low, high = min(values), max(values)
    if low == high:
        return {"range": [low - 0.5, high + 0.5], "tickvals": [low], "ticktext": [shown(low, metric)]}
    at = even_ticks(low, high)
    texts = [f"{100 * tick:.4g}%" if "accuracy" in metric else f"{tick:.4g}" for tick in at]
    return {"range": [low, high], "tickvals": at, "ticktext": texts}
