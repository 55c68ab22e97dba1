"""Plots the paper's figures and tables, with a sweep on top.

Each plot shows one epoch: the last one that all of the sweep's configurations in it have. If that is not the last epoch
of the published runs, a note says so.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go

from tune_jobs.evidence.paper import Match, PaperComparison
from tune_jobs.report import theme
from tune_jobs.report.metrics import hover
from tune_jobs.report.plots import LEGEND_ABOVE, Plot, new_figure
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import Printed, printed, training_losses
from tune_jobs.results.recorded.table import Array

WINDOW = 10
"""Number of epochs in the paper's moving average of losses."""

VERDICTS = {"within noise": theme.COLORS[0], "different": theme.COLORS[3], "not resolvable": theme.STOPPED}

_LARGE = 11


@dataclass(frozen=True)
class _Point:
    """A run in the paper, and our trials of its configuration."""

    place: Printed
    run: int
    match: Match | None


@dataclass(frozen=True)
class _Item:
    """A table part or a figure, for one data set."""

    title: str
    points: list[_Point]
    epoch: int
    last: int

    @property
    def key(self) -> str:
        """The key for files and the page."""
        return "".join(letter if letter.isalnum() else "-" for letter in self.title.lower())

    @property
    def until(self) -> str:
        """A note if the sweep has not reached the last epoch."""
        return "" if self.epoch == self.last else f" All at epoch {self.epoch}; the paper shows epoch {self.last}."


def plots_of(found: PaperComparison, runs: Runs) -> list[Plot]:
    """Return a plot of all differences, and plots of the tables and figures that overlap with the sweep.

    A table or figure is included if the sweep has half of its configurations, or it has half of the sweep's.
    """
    plots = [differences(found)]
    for item in _items(found, runs):
        kinds = {point.place.kind for point in item.points}
        if kinds == {"row"}:
            plots.append(_table(item, runs, found.metric))
        elif kinds == {"curve"}:
            plots += _curves(item, runs)
        else:
            plots.append(_lines(item, runs))
    return plots


def differences(found: PaperComparison) -> Plot:
    """Return a plot of our means minus theirs, with intervals, one line per row."""
    key, title = "differences", "Ours minus theirs"
    if not found.rows:
        return Plot(key, title, "No trial of the sweep can be compared with a published run.")
    percent = found.metric.endswith("accuracy")
    scale = 100 if percent else 1
    figure = go.Figure(layout={"template": "none", "height": 90 + 26 * len(found.rows)})
    for verdict, color in VERDICTS.items():
        rows = [row for row in found.rows if row.verdict == verdict]
        if not rows:
            continue
        values = [scale * row.difference.mean for row in rows]
        figure.add_scatter(
            x=values,
            y=[row.label for row in rows],
            error_x={"type": "data", "array": [scale * (r.difference.high - r.difference.mean) for r in rows]},
            mode="markers",
            name=verdict,
            marker={"color": color, "size": 9},
            hovertemplate="%{x:.2f}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": theme.STOPPED, "width": 1})
    labels = [row.label for row in found.rows]
    figure.update_layout(
        xaxis={"title": {"text": f"{found.metric}, {'percentage points' if percent else 'ours minus theirs'}"}},
        yaxis={"type": "category", "categoryorder": "array", "categoryarray": labels[::-1], "automargin": True},
        **LEGEND_ABOVE,
    )
    return Plot(key, title, "With the 95% interval of each row alone; the verdicts are for all rows together.", figure)


def _items(found: PaperComparison, runs: Runs) -> Iterator[_Item]:
    ours: dict[str, Match] = {}
    key_of = {number: key for key, numbers in runs.by_key.items() for number in numbers}
    for match in found.matches:
        ours[key_of[match.runs[0]]] = match
    points: dict[tuple[str, str], list[_Point]] = {}
    for number, key in key_of.items():
        config = runs.table.runs[number].config
        assert config is not None
        for place in printed().get(runs.table.runs[number].id, ()):
            points.setdefault((place.item, config.data.name), []).append(_Point(place, number, ours.get(key)))

    def keys_of(shown: Sequence[_Point]) -> set[str]:
        return {key_of[point.run] for point in shown}

    def most_first(each: tuple[tuple[str, str], list[_Point]]) -> tuple[int, str]:
        return -len(keys_of(each[1]) & set(ours)), each[0][0]

    for (item, data), shown in sorted(points.items(), key=most_first):
        keys = keys_of(shown)
        have = keys & set(ours)
        if have and 2 * len(have) >= min(len(keys), len(ours)):
            epochs = [point.match.epoch for point in shown if point.match is not None]
            last = int(max(runs.table.lengths[point.run] for point in shown))
            title = f"{item.replace('PE', 'positions')}, {data.upper().replace('CIFAR', 'CIFAR-')}"
            ordered = sorted(shown, key=lambda point: point.place.x or 0.0)
            yield _Item(title, ordered, min(*epochs, last), last)


def _series(item: _Item, name: Callable[[Printed], str]) -> dict[str, list[_Point]]:
    found: dict[str, list[_Point]] = {}
    for point in item.points:
        found.setdefault(name(point.place), []).append(point)
    return found


def _best(curve: Array, epoch: int) -> float:
    return float(np.nanmax(curve[:epoch]))


def _ours_best(match: Match, epoch: int) -> float:
    curves = [trial.curves["test/accuracy"] for trial in match.group.trials]
    return float(np.mean([max(curve[e] for e in range(1, epoch + 1)) for curve in curves]))


def _lines(item: _Item, runs: Runs) -> Plot:
    """Plot best epochs against k or r."""
    metric, curve = "test/accuracy", runs.table.curves["test/accuracy"]
    figure = new_figure(metric, height=470)
    xs = sorted({point.place.x for point in item.points if point.place.x is not None})
    for number, (name, points) in enumerate(_series(item, lambda place: place.row).items()):
        color = theme.COLORS[number % len(theme.COLORS)]
        flat = points[0].place.kind == "horizontal"
        at = [[xs[0], xs[-1]] if flat else [point.place.x] for point in points]
        theirs = [_best(curve[point.run], item.epoch) for point in points]
        ours = [None if p.match is None else _ours_best(p.match, item.epoch) for p in points]
        for values, who in ((theirs, "theirs"), (ours, "ours")):
            if all(value is None for value in values):
                continue
            line = {"color": color, "dash": "dash" if flat else "solid", "width": 1.5 if who == "theirs" else 3}
            marker = {"color": color, "size": 5 if who == "theirs" else _LARGE}
            marker |= {} if who == "theirs" else {"symbol": "diamond", "line": {"width": 1, "color": theme.STOPPED}}
            figure.add_scatter(
                x=[x for places in at for x in places],
                y=[value for places, value in zip(at, values, strict=True) for _ in places],
                name=f"{who}: {name}",
                mode="lines" if flat else "lines+markers" if who == "theirs" else "markers",
                line=line,
                marker=marker,
                hovertemplate=f"%{{x}}: %{{y:{hover(metric)}}}<extra></extra>",
            )
    axis = "k" if any(word in item.title for word in ("Figure 4", "Figure 7")) else "r"
    figure.update_layout(xaxis={"title": {"text": axis}}, showlegend=True, meta={"legend": "wide"})
    note = "Best epoch of each run, as in the paper: it was chosen on the test images." + item.until
    return Plot(item.key, item.title, note, figure)


def _table(item: _Item, runs: Runs, metric: str) -> Plot:
    """Plot last epochs, row by row."""
    figure = new_figure(metric, height=380)
    curve = runs.table.curves[metric]
    rows = [point.place.row for point in item.points]
    figure.add_scatter(
        x=rows,
        y=[float(curve[point.run, item.epoch - 1]) for point in item.points],
        name="theirs",
        mode="markers",
        marker={"color": theme.COLORS[0], "size": 9},
        hovertemplate=f"%{{x}}: %{{y:{hover(metric)}}}<extra>theirs</extra>",
    )
    have = [(point.place.row, point.match) for point in item.points if point.match is not None]
    values = [match.group.values(metric, item.epoch) for _, match in have]
    figure.add_scatter(
        x=[row for row, _ in have],
        y=[float(np.mean(each)) for each in values],
        error_y={"type": "data", "array": [float(np.std(e, ddof=1)) if len(e) > 1 else 0.0 for e in values]},
        name="ours",
        mode="markers",
        marker={"color": theme.BEST, "size": _LARGE, "symbol": "diamond"},
        hovertemplate=f"%{{x}}: %{{y:{hover(metric)}}}<extra>ours</extra>",
    )
    figure.update_layout(xaxis={"type": "category", "automargin": True}, **LEGEND_ABOVE)
    note = f"{metric} of the run in the paper, and ours with its standard deviation over seeds."
    return Plot(item.key, item.title, note + item.until, figure)


def _curves(item: _Item, runs: Runs) -> list[Plot]:
    """Plot test and training losses at each epoch."""
    made = []
    for metric, what in (("test/loss", "test loss"), ("train/loss", "training loss")):
        figure = new_figure(metric, height=470)
        series = _series(item, lambda place: f"{place.row}, lr {place.x:g}" if place.x else place.row)
        for number, (name, (point, *_)) in enumerate(series.items()):
            color = theme.COLORS[number % len(theme.COLORS)]
            theirs = _their_losses(runs, point.run, metric)
            _add_curve(figure, theirs, f"theirs: {name}", {"color": color, "width": 1.5})
            ours = [] if point.match is None else _our_losses(point.match, metric)
            if len(ours):
                _add_curve(figure, ours, f"ours: {name}", {"color": color, "width": 3, "dash": "dot"})
        figure.update_layout(xaxis={"title": {"text": "epoch"}}, showlegend=True, meta={"legend": "wide"})
        note = f"Moving averages over {WINDOW} epochs, as in the paper."
        made.append(Plot(f"{item.key}-{metric.partition('/')[0]}", f"{item.title}: {what}", note, figure))
    return made


def _their_losses(runs: Runs, run: int, metric: str) -> Array:
    recorded = runs.table.runs[run]
    if metric == "train/loss":
        return training_losses()[recorded.id]
    return runs.table.curves[metric][run, : int(runs.table.lengths[run])]


def _our_losses(match: Match, metric: str) -> list[float]:
    curves = [trial.curves.get(metric, {}) for trial in match.group.trials]
    epochs = range(1, match.group.epoch + 1)
    whole = [curve for curve in curves if all(epoch in curve for epoch in epochs)]
    return [float(np.mean([curve[epoch] for curve in whole])) for epoch in epochs] if whole else []


def _add_curve(figure: go.Figure, losses: Sequence[float] | Array, name: str, line: dict[str, object]) -> None:
    averages = [float(np.mean(losses[max(0, end - WINDOW) : end])) for end in range(1, len(losses) + 1)]
    figure.add_scatter(
        x=list(range(1, len(losses) + 1)),
        y=averages,
        name=name,
        mode="lines" if len(averages) > 1 else "markers",
        line=line,
        hovertemplate="epoch %{x}: %{y:.4f}<extra></extra>",
    )
