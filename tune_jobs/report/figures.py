"""All plots of a report."""

from typing import TYPE_CHECKING

from tune_jobs.report.comparisons import importance, parallel_coordinates, pareto, slices
from tune_jobs.report.curves import learning_curves, rungs
from tune_jobs.report.plots import Plot
from tune_jobs.report.varying import SEED, varying

if TYPE_CHECKING:
    from tune_jobs.report.data import Facts


def plots_of(facts: "Facts") -> list[Plot]:
    """All plots, in the order of the page."""
    parameters = [parameter for parameter in varying(facts.comparable) if parameter.name != SEED]
    return [
        learning_curves(facts),
        parallel_coordinates(facts, parameters),
        importance(facts),
        *slices(facts, parameters),
        pareto(facts),
        rungs(facts),
    ]
