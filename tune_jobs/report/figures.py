"""All plots of a report."""

from typing import TYPE_CHECKING

from tune_jobs.report.axes import parameters as parameters_of
from tune_jobs.report.comparisons import importance, parallel_coordinates, pareto, slices
from tune_jobs.report.curves import learning_curves, rungs
from tune_jobs.report.plots import Plot
from tune_jobs.results.columns import SEED

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData


def plots_of(data: "ReportData") -> list[Plot]:
    """All plots, in the order of the page."""
    parameters = [parameter for parameter in parameters_of(data.comparable) if parameter.name != SEED]
    return [
        learning_curves(data),
        parallel_coordinates(data, parameters),
        importance(data),
        *slices(data, parameters),
        pareto(data),
        rungs(data),
    ]
