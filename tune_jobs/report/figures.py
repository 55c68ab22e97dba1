"""All plots of a report."""

from typing import TYPE_CHECKING

from tune_jobs.report.axes import declared
from tune_jobs.report.axes import parameters as parameters_of
from tune_jobs.report.comparisons import importance, parallel_coordinates, slices
from tune_jobs.report.costs import pareto
from tune_jobs.report.curves import learning_curves, rungs
from tune_jobs.report.plots import Plot
from tune_jobs.report.points import points_of

if TYPE_CHECKING:
    from tune_jobs.report.data import ReportData


def plots_of(data: "ReportData") -> list[Plot]:
    """All plots, in the order of the page."""
    space = declared(data.spec.space.root) if data.spec is not None else {}
    parameters = parameters_of(data.comparable, data.summary.columns, space)
    points = points_of(data.summary)
    return [
        learning_curves(data),
        parallel_coordinates(data, points, parameters),
        importance(data),
        *slices(data, points, parameters),
        pareto(data, points),
        rungs(data),
    ]
