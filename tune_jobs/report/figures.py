"""All plots of a report."""

from typing import TYPE_CHECKING

from tune_jobs.report.axes import parameters as parameters_of
from tune_jobs.report.comparisons import importance, parallel_coordinates, slices
from tune_jobs.report.costs import pareto
from tune_jobs.report.curves import learning_curves, rungs
from tune_jobs.report.plots import Plot

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData


def plots_of(data: "ReportData") -> list[Plot]:
    """Return all plots, in the order of the page."""
    parameters = parameters_of(data.comparable, data.summary.columns, data.declared)
    return [
        learning_curves(data),
        parallel_coordinates(data, parameters),
        importance(data),
        *slices(data, parameters),
        pareto(data),
        rungs(data),
    ]
