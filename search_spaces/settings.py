"""The sections of a sweep file beside its space: how to judge, search, stop, run and record."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from convnn.data.facts import SPLITS, Split
from search_spaces.base import Config, Rule
from search_spaces.reading.rules import LONGEST_RULE
from search_spaces.registry import OneOf, Registry
from search_spaces.trial import TrialConfig

_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
NAME_RULE = "a name of at most 100 letters, digits, '.', '_' and '-' that begins with a letter or digit"


def is_name(text: str) -> bool:
    """Whether a sweep may have this name."""
    return re.fullmatch(_NAME, text) is not None


Metric = Literal["val/accuracy", "val/loss", "test/accuracy", "test/loss"]


class Holdout(Config):
    """A stratified part of the training images decides; the test images are not opened."""

    opens: ClassVar[tuple[Split, ...]] = ("train",)
    protocol: Literal["holdout"] = "holdout"
    fraction: Annotated[float, Field(gt=0, lt=1, description="Share of the training images held out.")] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Draws the held-out images, the same for every trial.")] = 0


class Paper(Config):
    """As published: train on all training images, test after every epoch, the last epoch counts."""

    opens: ClassVar[tuple[Split, ...]] = SPLITS
    protocol: Literal["paper"]


class Objective(Config):
    """What is searched for; by default the accuracy of the images that decide."""

    metric: Annotated[Metric | None, Field(description="null: val/accuracy, or test/accuracy with protocol paper.")] = (
        None
    )
    goal: Annotated[Literal["maximize", "minimize"] | None, Field(description="null: what suits the metric.")] = None


MOST_REPEATS = 64
"""Seeds of a configuration, at most."""


class SamplerSettings(Config):
    """What every way to search has: its name, and with how many seeds each configuration is trained."""

    sampler: str
    repeats: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_REPEATS,
            description="Seeds of each configuration: training.seed and those after it. The others are trained once "
            "the first has run to its last epoch; configurations are then compared by their mean.",
        ),
    ] = 1


class Tpe(SamplerSettings):
    """Optuna's tree-structured Parzen estimator: multivariate, and grouped by branch."""

    sampler: Literal["tpe"]
    trials: Annotated[int, Field(ge=1, le=1_000_000, description="Configurations to train.")]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Of the draws.")] = 0


class RandomSearch(SamplerSettings):
    """Independent draws."""

    sampler: Literal["random"]
    trials: Annotated[int, Field(ge=1, le=1_000_000, description="Configurations to train.")]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Of the draws.")] = 0


class Grid(SamplerSettings):
    """Every combination of a space of choices, in file order."""

    sampler: Literal["grid"] = "grid"


class Enough(Config):
    """Ends the sweep when the trials that are left are unlikely to bring more than a margin."""

    within: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="A gain of no more is not worth more trials: points of accuracy (0.3), or a loss.",
        ),
    ]
    confidence: Annotated[
        float,
        Field(
            ge=0.5,
            lt=1,
            description="The sweep ends when, with this probability, the trials that are left would gain no more.",
        ),
    ] = 0.9


class Stopping(Config):
    """What every stopping rule has."""

    max_failed_fraction: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="The sweep ends when, of at least 5 ended trials, more than this share failed; diverged ones "
            "do not count as failed. 1: never.",
        ),
    ] = 0.5
    enough: Annotated[Enough | None, Field(description="null: the sweep ends with its last trial.")] = None
    kind: str


class NoStopping(Stopping):
    """Every trial runs to its last epoch."""

    kind: Literal["none"] = "none"


class Asha(Stopping):
    """Asynchronous successive halving: at rungs of growing epochs only the best 1/reduction_factor go on."""

    kind: Literal["asha"]
    grace_epochs: Annotated[int, Field(ge=1, description="The first rung: no trial stops before.")] = 1
    reduction_factor: Annotated[int, Field(ge=2, le=100, description="At each rung one of so many goes on.")] = 3


class Hyperband(Stopping):
    """Successive halving in several brackets: some trials are judged early, others only after more epochs."""

    kind: Literal["hyperband"]
    grace_epochs: Annotated[int, Field(ge=1, description="The first rung of all: no trial stops before.")] = 1
    reduction_factor: Annotated[int, Field(ge=2, le=100, description="At each rung one of so many goes on.")] = 3


class Median(Stopping):
    """Stops a trial whose best epoch so far is worse than the median of the complete trials at the same epoch."""

    kind: Literal["median"]
    grace_epochs: Annotated[int, Field(ge=1, description="No trial stops before this epoch.")] = 1
    startup_trials: Annotated[
        int, Field(ge=1, le=1_000_000, description="No trial stops before so many have run to their last epoch.")
    ] = 5


class Patience(Stopping):
    """Stops a trial whose own metric no longer improves; other trials do not matter."""

    kind: Literal["patience"]
    patience_epochs: Annotated[
        int, Field(ge=1, description="A trial stops after so many epochs in a row without an improvement.")
    ] = 10
    min_delta: Annotated[
        float,
        Field(ge=0, allow_inf_nan=False, description="An epoch improves on the best one if it is better by more."),
    ] = 0.0


class Auto(Stopping):
    """Learns from the sweep's complete trials what standing is worth; stops only what that evidence allows."""

    kind: Literal["auto"]
    prior: Annotated[
        Literal["recorded", "none"],
        Field(
            description="What is believed before this sweep's trials have shown it: recorded (what the published runs "
            "say, as far as the first trials resemble them), or none."
        ),
    ] = "recorded"


SAMPLERS = Registry(SamplerSettings, "sampler", Tpe, RandomSearch, Grid)
register_sampler = SAMPLERS.register
"""Lets files name another sampler below `search`: these are its settings."""

RULES = Registry(Stopping, "kind", NoStopping, Asha, Hyperband, Median, Patience, Auto)
register_rule = RULES.register
"""Lets files name another stopping rule below `stopping`: these are its settings."""


class Resources(Config):
    """What one trial gets."""

    gpus_per_trial: Annotated[
        float,
        Field(ge=0, le=1, description="Share of a GPU that a trial has; 0 trains on the CPU."),
        Rule("a number, 0 to 1 (0.25 lets four trials share a GPU)"),
    ] = 0.0
    gpu_mem_gb: Annotated[
        float | None,
        Field(gt=0, description="Memory of one GPU, in 10^9 bytes; what surely needs more than its share is not run."),
    ] = None
    cpus_per_trial: Annotated[int, Field(ge=1, le=1024, description="Also the trial's threads.")] = 1
    checkpoint_every_s: Annotated[
        float, Field(ge=0, description="Seconds between checkpoints, from which an interrupted trial goes on.")
    ] = 120.0
    max_concurrent: Annotated[
        int | None, Field(ge=1, description="Trials at a time, at most. null: as many as fit.")
    ] = None
    max_trial_hours: Annotated[
        float | None, Field(gt=0, description="Time limit of one trial, over all its attempts. null: none.")
    ] = None
    keep_best: Annotated[
        int, Field(ge=0, description="How many complete trials, the best, keep their last checkpoint.")
    ] = 1
    min_free_gb: Annotated[
        float, Field(ge=0, description="With less room in the sweep's folder, in 10^9 bytes, the sweep pauses.")
    ] = 1.0

    @property
    def trial_mem_gb(self) -> float | None:
        """A trial's share of the memory of its GPU, in 10^9 bytes; `None` where that is not limited."""
        return None if self.gpu_mem_gb is None else self.gpu_mem_gb * self.gpus_per_trial


class Budget(Config):
    """What a sweep may cost, over all its runs, failed attempts included. null: no limit."""

    gpu_hours: Annotated[
        float | None,
        Field(gt=0, description="GPUs held times hours, of all attempts; where resources.gpus_per_trial is above 0."),
    ] = None
    cpu_hours: Annotated[
        float | None,
        Field(gt=0, description="CPUs held times hours, of all attempts; where resources.gpus_per_trial is 0."),
    ] = None
    wall_hours: Annotated[float | None, Field(gt=0, description="Hours of all runs of the sweep together.")] = None
    trials: Annotated[
        int | None,
        Field(
            ge=1,
            description="Trials started, each seed of a configuration being one; unlike at search.trials, the sweep is "
            "then unfinished.",
        ),
    ] = None


HOURS = {"gpu_hours": "GPU-hours", "cpu_hours": "CPU-hours", "wall_hours": "hours of running"}
"""What a budget counts in hours, by its field: as people call it."""


class Tracking(Config):
    """Where the MLflow runs go, and whether TensorBoard can show the trials, too."""

    uri: Annotated[
        str | None,
        Field(
            min_length=1,
            description="null: MLFLOW_TRACKING_URI, else what was chosen before, else mlflow.db beside the sweeps.",
        ),
    ] = None
    experiment: Annotated[str | None, Field(min_length=1, max_length=500, description="null: the sweep's name.")] = None
    tensorboard: Annotated[
        bool, Field(description="Event files for TensorBoard, too, in the folder tensorboard of the sweep.")
    ] = False


class SweepFile(Config):
    """The whole file. Below `space`, any leaf may be a domain and any branch an any_of."""

    name: Annotated[
        str,
        Field(pattern=f"^{_NAME}$", description="Of the sweep, and of its folder."),
        Rule(NAME_RULE),
    ]
    space: TrialConfig
    constraints: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_RULE)], ...],
        Field(
            description="Rules that every trial satisfies: comparisons of numbers, fields (k, or model.layer.k) and "
            "+ - * / ( ), as in 4 <= k <= r. A rule about a field that a trial does not have holds."
        ),
    ] = ()
    evaluation: Annotated[Holdout | Paper, Field(discriminator="protocol")] = Holdout()
    objective: Objective = Objective()
    search: Annotated[SamplerSettings, OneOf(SAMPLERS)] = Grid()
    stopping: Annotated[Stopping, OneOf(RULES)] = NoStopping()
    resources: Resources = Resources()
    budget: Budget = Budget()
    tracking: Tracking = Tracking()
