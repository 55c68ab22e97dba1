"""Plots regret by budget, with a line for each rule, as one HTML page that needs no network."""

from pathlib import Path

import plotly.graph_objects as go

from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.report import theme
from tune_jobs.report.plots import for_plotly
from tune_jobs.simulate.outcome import Simulation
from tune_jobs.system.files import write_whole


def figure_of(found: Simulation) -> go.Figure:
    """Return a plot of the mean regret of each rule with its interval, by budget, on a logarithmic x axis."""
    figure = go.Figure(layout={"template": "none"})
    for number, rule in enumerate(dict.fromkeys(result.rule for result in found.results)):
        results = [result for result in found.results if result.rule == rule]
        means = [result.regret.mean for result in results]
        ends = [(r.regret.high or r.regret.mean, r.regret.low or r.regret.mean) for r in results]
        figure.add_scatter(
            x=[result.budget for result in results],
            y=means,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [high - mean for (high, _), mean in zip(ends, means, strict=True)],
                "arrayminus": [mean - low for (_, low), mean in zip(ends, means, strict=True)],
            },
            name=rule,
            mode="lines+markers",
            line={"color": theme.COLORS[number % len(theme.COLORS)]},
            hovertemplate="budget %{x}: regret %{y:.2f}<extra></extra>",
        )
    figure.update_layout(
        title={"text": f"{found.table.name}: regret of {found.metric}, {found.repeats} repeats, 95% of the mean"},
        xaxis={"title": {"text": "budget in full trials"}, "type": "log"},
        yaxis={"title": {"text": f"regret ({found.unit})"}, "rangemode": "tozero"},
    )
    return figure


def write_figure(found: Simulation, output: Path) -> None:
    """Write the page.

    Raises:
        UsageError: If `output` is a folder.
        LedgerError: If it cannot be written.
    """
    if output.is_dir():
        raise UsageError(f"--output must be a file, and {output} is a folder; try {output / 'simulation.html'}.")
    drawn = go.Figure(for_plotly(figure_of(found)))
    try:
        write_whole(output, drawn.to_html(include_plotlyjs=True).encode())
    except OSError as error:
        raise LedgerError(f"{output} cannot be written: {error.strerror}; choose another --output.") from error
