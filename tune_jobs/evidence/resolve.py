"""Estimates the seeds and hours needed to detect a difference, before a sweep is run."""

from search_spaces import SweepSpec
from search_spaces.settings import Holdout
from tune_jobs.errors import UsageError
from tune_jobs.evidence.differences import Noise, pooled_noise
from tune_jobs.evidence.verdicts import LOOKS, Design, seeds_to_resolve
from tune_jobs.planning.ladder import epochs_of
from tune_jobs.planning.plan import Plan
from tune_jobs.planning.resolution import Resolution
from tune_jobs.record.rows import confirmed_metric
from tune_jobs.results.columns import possible
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import published

CANDIDATES = 5
POWER = 0.8
PUBLISHED_LR = 1e-4
"""The learning rate of most published runs; at other rates, repeats differ more."""

METHOD = "t-test at the last look of convnn confirm, noncentral t (scipy)"


def resolution(spec: SweepSpec, plan: Plan, difference: float) -> Resolution:
    """Return what it takes to detect a difference between the best five configurations and a baseline.

    Args:
        spec: The sweep.
        plan: The sweep's plan, with its cost.
        difference: The difference: in percentage points for accuracies, otherwise in the metric's unit.

    Raises:
        UsageError: If the difference is not above 0, or no repeats of such a model and data set were recorded.
    """
    if difference <= 0:
        raise UsageError(f"--resolve must be above 0, got {difference:g}.")
    is_accuracy = spec.metric.endswith("accuracy")
    wanted, epochs = difference / 100 if is_accuracy else difference, epochs_of(spec)
    noise, metric = _noise(spec, epochs), confirmed_metric(spec.metric)
    level = Design(CANDIDATES, 0.0).levels[-1]
    seeds = seeds_to_resolve(wanted, noise.sd, level, POWER)
    trials = seeds * (CANDIDATES + 1)
    hours = None
    if plan.wall_hours is not None and plan.trial_epochs:
        whole = 1 / (1 - spec.evaluation.fraction) if isinstance(spec.evaluation, Holdout) else 1.0
        hours = plan.wall_hours * whole * trials * epochs / plan.trial_epochs
    return Resolution(
        difference=wanted,
        metric=metric,
        sd=noise.sd,
        sd_of=f"published repeats of {noise.of}, {noise.df} degrees of freedom",
        seeds=seeds,
        most_seeds=LOOKS[-1],
        resolved_by_most=_resolved_by(LOOKS[-1], noise.sd, level),
        configurations=CANDIDATES + 1,
        trials=trials,
        trial_epochs=trials * epochs,
        wall_hours=hours,
        power=POWER,
        error=Design(CANDIDATES, 0.0).error,
        method=METHOD,
    )


def _noise(spec: SweepSpec, epochs: int) -> Noise:
    table = published()
    runs = Runs(table)
    metric = confirmed_metric(spec.metric)
    for found in possible(spec):
        config = found.model_copy(update={"training": found.training.model_copy(update={"lr": PUBLISHED_LR})})
        if (noise := pooled_noise(runs, config, table.curves[metric], epochs)) is not None:
            return noise
    raise UsageError(
        "--resolve needs repeats of one configuration to estimate the noise, and none were published of this model "
        "and data set; train a few seeds first (search.repeats), then: convnn confirm SWEEP"
    )


def _resolved_by(seeds: int, sd: float, level: float) -> float:
    """Return the smallest difference that this number of seeds detects, in steps of 1% of the standard deviation."""
    few, many = 0, 2000
    while few < many:
        middle = (few + many) // 2
        few, many = (
            (few, middle) if seeds_to_resolve(middle * sd / 100, sd, level, POWER) <= seeds else (middle + 1, many)
        )
    return few * sd / 100
