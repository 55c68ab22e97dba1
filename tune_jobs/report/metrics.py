"""Number formats of an objective: accuracy in percent, loss as it is."""

from typing import Any


def ticks(metric: str) -> str:
    """Plotly's tick format for the objective."""
    return "~%" if "accuracy" in metric else ""


def bounds(metric: str) -> dict[str, float]:
    """Limits of an axis, with room for a marker on the edge."""
    return {"minallowed": -0.02, "maxallowed": 1.02} if "accuracy" in metric else {}


def hover(metric: str) -> str:
    """Plotly's format for one value."""
    return ".2%" if "accuracy" in metric else ".4f"


def value_axis(values: list[float], metric: str) -> dict[str, Any]:
    """Plotly's axis in parallel coordinates. Ticks are Plotly's, since with custom ticks ranges snap to the ticks."""
    low, high = min(values), max(values)
    ends = [low, high] if low < high else [low - 0.5, high + 0.5]
    return {"range": ends, "tickformat": ".1%" if "accuracy" in metric else ".4~g"}
