"""Axes of an objective: an accuracy in percent, a loss as it is."""

from typing import Any


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
    """Plotly's axis of parallel coordinates; with ticks of ours a reader could choose no range between two."""
    low, high = min(values), max(values)
    ends = [low, high] if low < high else [low - 0.5, high + 0.5]
    return {"range": ends, "tickformat": ".1%" if "accuracy" in metric else ".4~g"}
