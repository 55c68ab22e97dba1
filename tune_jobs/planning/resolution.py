"""The part of a plan about detecting a difference between two configurations."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Resolution:
    """Seeds, trials and hours that `convnn confirm` needs to detect a difference; see `tune_jobs.evidence.resolve`."""

    difference: float
    """The difference: a fraction for accuracies, otherwise in the metric's unit."""

    metric: str
    sd: float
    """Standard deviation of repeats of one configuration."""

    sd_of: str
    """The runs from which `sd` was estimated."""

    seeds: int
    """Number of seeds of each configuration."""

    most_seeds: int
    """The largest number of seeds in `convnn confirm`."""

    resolved_by_most: float
    """The difference that this number of seeds detects."""

    configurations: int
    """Number of configurations, including the baseline."""

    trials: int
    trial_epochs: int
    wall_hours: float | None
    """From start to end; `None` if no speed is known."""

    power: float
    error: float
    method: str
