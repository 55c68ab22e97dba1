"""What it takes to tell two configurations apart, as a plan has it."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Resolution:
    """Seeds, trials and hours with which `convnn confirm` would find a difference; see `tune_jobs.evidence.resolve`."""

    difference: float
    """Of accuracies as a fraction, else in the metric's own unit."""

    metric: str
    sd: float
    """Of repeats of one configuration."""

    sd_of: str
    """Of which runs that is."""

    seeds: int
    """Of each configuration."""

    most_seeds: int
    """That `convnn confirm` gives."""

    resolved_by_most: float
    """The difference that these find."""

    configurations: int
    """The baseline among them."""

    trials: int
    trial_epochs: int
    wall_hours: float | None
    """From start to end; `None` where no speed is known."""

    power: float
    error: float
    method: str
