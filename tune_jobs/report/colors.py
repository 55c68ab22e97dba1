"""Line colors by a field of the configurations: a color scale for numbers, the palette for words."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from search_spaces.domains import Domain, Scalar
from tune_jobs.report import theme
from tune_jobs.report.axes import Scale, labelled, scale_of
from tune_jobs.results.columns import NONE, Column
from tune_jobs.results.row import Row


@dataclass(frozen=True)
class Coloring:
    """The color of each line, and the legend or color bar."""

    name: str
    colors: list[str]
    """Color of each line."""

    names: list[str]
    """Name of each line in the legend; empty if the color bar shows it."""

    order: list[str]
    """The names in the order of the legend."""

    bar: dict[str, Any] | None
    """Plotly's color axis for a range of numbers."""


def coloring(column: Column, rows: Sequence[Row], declared: Domain | None = None) -> Coloring | None:
    """Return colors by a field; `None` if all lines have the same value.

    Args:
        column: The field.
        rows: One trial of each line.
        declared: The field's domain in the space, if known.
    """
    values = [row.fields.get(column.key) for row in rows]
    if len(set(values)) < 2:  # noqa: PLR2004 - nothing to tell apart
        return None
    scale = scale_of(values, declared)
    if scale.categorical:
        return _by_value(column, values, scale)
    return _by_number(column, values, log=scale.log)


def _by_value(column: Column, values: list[Scalar], scale: Scale) -> Coloring:
    """Color a few numbers along the color scale, in order; words by the palette."""
    there = [value for value in scale.places if value is not None]
    if all(isinstance(value, int | float) and not isinstance(value, bool) for value in there):
        palette = [scale_color(place) for place in np.linspace(0, 1, max(len(there), 2))]
    else:
        palette = list(theme.COLORS)
    color_of: dict[Scalar, str] = {value: palette[at % len(palette)] for at, value in enumerate(there)}
    named = dict(zip(scale.places, scale.labels, strict=True))
    colors = [color_of.get(value, theme.STOPPED) for value in values]
    return Coloring(column.name, colors, [named[value] for value in values], list(named.values()), None)


def _by_number(column: Column, values: list[Scalar], *, log: bool) -> Coloring:
    numbers = [math.nan if value is None else float(value) for value in values]
    places = np.log10(numbers) if log else np.array(numbers)
    low, high, start, end = np.nanmin(numbers), np.nanmax(numbers), np.nanmin(places), np.nanmax(places)
    at, ticks = labelled(float(low), float(high), log=log)
    shares = (places - start) / (end - start)
    colors = [theme.STOPPED if np.isnan(share) else scale_color(float(share)) for share in shares]
    bar = {
        "cmin": float(start),
        "cmax": float(end),
        "colorscale": [[place, color] for place, color in zip(_steps(), theme.ORDERED, strict=True)],
        "colorbar": {
            "title": {"text": column.name},
            "thickness": 12,
            "outlinewidth": 0,
            "tickvals": at,
            "ticktext": [f"{tick:.3g}" for tick in ticks],
        },
    }
    absent = f"{column.name} {NONE}"
    return Coloring(column.name, colors, [absent if value is None else "" for value in values], [absent], bar)


def scale_color(place: float) -> str:
    """Return the color at a position of the scale, from 0 to 1."""
    channels = [[int(color[at : at + 2], 16) for at in (1, 3, 5)] for color in theme.ORDERED]
    found = [round(float(np.interp(place, _steps(), channel))) for channel in zip(*channels, strict=True)]
    return "#" + "".join(f"{channel:02x}" for channel in found)


def _steps() -> list[float]:
    return [place / (len(theme.ORDERED) - 1) for place in range(len(theme.ORDERED))]
