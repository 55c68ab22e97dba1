"""The sections of a sweep file other than its space: evaluation, search, stopping, resources and tracking."""

import re
from typing import Annotated, ClassVar, Literal

from pydantic import Field

from convnn import plugins
from convnn.data.facts import SPLITS, Split
from search_spaces.base import Config, Rule
from search_spaces.reading.rules import LONGEST_RULE
from search_spaces.registry import OneOf, Registry
from search_spaces.trial import TrialConfig

_NAME = "[A-Za-z0-9][A-Za-z0-9._-]{0,99}"
NAME_RULE = "a name of at most 100 letters, digits, '.', '_' and '-' that starts with a letter or digit"


def is_name(text: str) -> bool:
    """Return whether a sweep may have this name."""
    return re.fullmatch(_NAME, text) is not None


Metric = Literal["val/accuracy", "val/loss", "test/accuracy", "test/loss"]


class Holdout(Config):
    """Evaluate on a stratified split of the training images. The test images are not opened."""

    opens: ClassVar[tuple[Split, ...]] = ("train",)
    protocol: Literal["holdout"] = "holdout"
    fraction: Annotated[float, Field(gt=0, lt=1, description="Fraction of the training images held out.")] = 0.1
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Seed of the split, the same for every trial.")] = 0


class Paper(Config):
    """As published: train on all training images and test after every epoch. The last epoch counts."""

    opens: ClassVar[tuple[Split, ...]] = SPLITS
    protocol: Literal["paper"]


class Objective(Config):
    """What the search optimizes; by default the accuracy on the evaluation images."""

    metric: Annotated[Metric | None, Field(description="null: val/accuracy, or test/accuracy with protocol paper.")] = (
        None
    )
    goal: Annotated[
        Literal["maximize", "minimize"] | None, Field(description="null: maximize accuracy, minimize loss.")
    ] = None


MOST_REPEATS = 64
"""Largest number of seeds per configuration."""


class SamplerSettings(Config):
    """Settings that every sampler has: its name, and the number of seeds per configuration."""

    made_by: ClassVar[str] = ""
    """For plugins: the function that makes the sampler from these settings and the space, as `package.module:name`."""

    sampler: str
    repeats: Annotated[
        int,
        Field(
            ge=1,
            le=MOST_REPEATS,
            description="Seeds per configuration: training.seed and the following ones. The others are trained after "
            "the first has completed its last epoch; configurations are then compared by their mean.",
        ),
    ] = 1


class Tpe(SamplerSettings):
    """Optuna's tree-structured Parzen estimator (TPE), multivariate and grouped by branch."""

    sampler: Literal["tpe"]
    trials: Annotated[int, Field(ge=1, le=1_000_000, description="Configurations to train.")]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Seed of the sampler.")] = 0


class RandomSearch(SamplerSettings):
    """Independent random draws."""

    sampler: Literal["random"]
    trials: Annotated[int, Field(ge=1, le=1_000_000, description="Configurations to train.")]
    seed: Annotated[int, Field(ge=0, lt=2**31, description="Seed of the sampler.")] = 0


class Grid(SamplerSettings):
    """Every combination of the listed values, in file order."""

    sampler: Literal["grid"] = "grid"


class Enough(Config):
    """End the sweep when the remaining trials are unlikely to improve the best result by more than a margin."""

    within: Annotated[
        float,
        Field(
            gt=0,
            allow_inf_nan=False,
            description="Largest improvement that is not worth more trials: points of accuracy (0.3), or a loss.",
        ),
    ]
    confidence: Annotated[
        float,
        Field(
            ge=0.5,
            lt=1,
            description="The sweep ends when, with this probability, the remaining trials improve no more than that.",
        ),
    ] = 0.9


class Stopping(Config):
    """Settings that every stopping rule has."""

    made_by: ClassVar[str] = ""
    """For plugins: the function that makes the rule from these settings and the space, as `package.module:name`."""

    max_failed_fraction: Annotated[
        float,
        Field(
            ge=0,
            le=1,
            description="The sweep ends when at least 5 trials have ended and more than this fraction failed; diverged "
            "trials do not count as failed. 1: never.",
        ),
    ] = 0.5
    enough: Annotated[Enough | None, Field(description="null: the sweep ends with its last trial.")] = None
    kind: str


class NoStopping(Stopping):
    """Every trial runs to its last epoch."""

    kind: Literal["none"] = "none"


class Asha(Stopping):
    """Asynchronous successive halving (ASHA): at each rung only the best 1/reduction_factor of the trials continue."""

    kind: Literal["asha"]
    grace_epochs: Annotated[int, Field(ge=1, description="Epoch of the first rung; no trial stops earlier.")] = 1
    reduction_factor: Annotated[
        int, Field(ge=2, le=100, description="At each rung, one in this many trials continues.")
    ] = 3


class Hyperband(Stopping):
    """Successive halving in several brackets: some trials are compared early, others only after more epochs."""

    kind: Literal["hyperband"]
    grace_epochs: Annotated[int, Field(ge=1, description="Epoch of the earliest rung; no trial stops earlier.")] = 1
    reduction_factor: Annotated[
        int, Field(ge=2, le=100, description="At each rung, one in this many trials continues.")
    ] = 3


class Median(Stopping):
    """Stop a trial if its best epoch so far is worse than the median of the complete trials at the same epoch."""

    examples: ClassVar = ({"startup_trials": 2},)
    kind: Literal["median"]
    grace_epochs: Annotated[int, Field(ge=1, description="No trial stops before this epoch.")] = 1
    startup_trials: Annotated[
        int, Field(ge=1, le=1_000_000, description="No trial stops before this many trials are complete.")
    ] = 5


class Patience(Stopping):
    """Stop a trial if its own metric no longer improves. Other trials do not matter."""

    examples: ClassVar = ({"patience_epochs": 2, "min_delta": 0.1},)
    kind: Literal["patience"]
    patience_epochs: Annotated[
        int, Field(ge=1, description="A trial stops after this many epochs in a row without improvement.")
    ] = 10
    min_delta: Annotated[
        float,
        Field(
            ge=0, allow_inf_nan=False, description="An epoch counts as an improvement if it beats the best one by more."
        ),
    ] = 0.0


class Auto(Stopping):
    """Learn from the sweep's complete trials how much an early rank predicts; stop trials only on that evidence."""

    kind: Literal["auto"]
    prior: Annotated[
        Literal["recorded", "none"],
        Field(
            description="The prior before this sweep has its own evidence: recorded (from the published runs, as far "
            "as the first trials resemble them), or none."
        ),
    ] = "recorded"


SAMPLERS = Registry(SamplerSettings, "sampler", Tpe, RandomSearch, Grid, group=plugins.SAMPLERS)
register_sampler = SAMPLERS.register
"""Register the settings of another sampler, so that files can use it below `search`."""

RULES = Registry(Stopping, "kind", NoStopping, Asha, Hyperband, Median, Patience, Auto, group=plugins.STOPPING_RULES)
register_rule = RULES.register
"""Register the settings of another stopping rule, so that files can use it below `stopping`."""


class Resources(Config):
    """Resources of one trial."""

    gpus_per_trial: Annotated[
        float,
        Field(ge=0, le=1, description="Fraction of a GPU per trial; 0 trains on the CPU."),
        Rule("a number, 0 to 1 (0.25 lets four trials share a GPU)"),
    ] = 0.0
    gpu_mem_gb: Annotated[
        float | None,
        Field(
            gt=0, description="Memory of one GPU, in 10^9 bytes; trials that certainly exceed their share are not run."
        ),
    ] = None
    cpus_per_trial: Annotated[int, Field(ge=1, le=1024, description="CPUs per trial, and its number of threads.")] = 1
    checkpoint_every_s: Annotated[
        float, Field(ge=0, description="Seconds between checkpoints; an interrupted trial resumes from the last one.")
    ] = 120.0
    max_concurrent: Annotated[
        int | None, Field(ge=1, description="Largest number of trials at the same time. null: as many as fit.")
    ] = None
    max_trial_hours: Annotated[
        float | None, Field(gt=0, description="Time limit of one trial, over all its attempts. null: no limit.")
    ] = None
    keep_best: Annotated[
        int, Field(ge=0, description="Number of best complete trials that keep their last checkpoint.")
    ] = 1
    min_free_gb: Annotated[
        float, Field(ge=0, description="The sweep pauses when its folder has less free space, in 10^9 bytes.")
    ] = 1.0

    @property
    def trial_mem_gb(self) -> float | None:
        """A trial's share of its GPU's memory, in 10^9 bytes; `None` if it is not limited."""
        return None if self.gpu_mem_gb is None else self.gpu_mem_gb * self.gpus_per_trial


class Budget(Config):
    """The most that a sweep may cost, over all its runs, including failed attempts. null: no limit."""

    gpu_hours: Annotated[
        float | None,
        Field(gt=0, description="GPUs held times hours, over all attempts; needs resources.gpus_per_trial above 0."),
    ] = None
    cpu_hours: Annotated[
        float | None,
        Field(gt=0, description="CPUs held times hours, over all attempts; needs resources.gpus_per_trial 0."),
    ] = None
    wall_hours: Annotated[
        float | None, Field(gt=0, description="Wall-clock hours of all runs of the sweep together.")
    ] = None
    trials: Annotated[
        int | None,
        Field(
            ge=1,
            description="Trials started; each seed of a configuration counts as one. Unlike with search.trials, the "
            "sweep is then unfinished.",
        ),
    ] = None


HOURS = {"gpu_hours": "GPU-hours", "cpu_hours": "CPU-hours", "wall_hours": "hours of running"}
"""The budgets in hours: the unit in words, by field."""


class Tracking(Config):
    """Where the sweep's MLflow runs are stored, and whether TensorBoard can show its trials."""

    uri: Annotated[
        str | None,
        Field(
            min_length=1,
            description="null: MLFLOW_TRACKING_URI, else the previous choice, else mlflow.db beside the sweeps.",
        ),
    ] = None
    experiment: Annotated[str | None, Field(min_length=1, max_length=500, description="null: the sweep's name.")] = None
    tensorboard: Annotated[
        bool, Field(description="Also write event files for TensorBoard, to the folder tensorboard of the sweep.")
    ] = False


class SweepFile(Config):
    """A sweep file. Below `space`, any leaf may be a domain and any branch an any_of."""

    name: Annotated[
        str,
        Field(pattern=f"^{_NAME}$", description="Name of the sweep and of its folder."),
        Rule(NAME_RULE),
    ]
    space: TrialConfig
    constraints: Annotated[
        tuple[Annotated[str, Field(min_length=1, max_length=LONGEST_RULE)], ...],
        Field(
            description="Rules that every trial must satisfy: comparisons of numbers, fields (k, or model.layer.k) and "
            "+ - * / ( ), as in 4 <= k <= r. A rule about a field that a trial does not have is satisfied."
        ),
    ] = ()
    evaluation: Annotated[Holdout | Paper, Field(discriminator="protocol")] = Holdout()
    objective: Objective = Objective()
    search: Annotated[SamplerSettings, OneOf(SAMPLERS)] = Grid()
    stopping: Annotated[Stopping, OneOf(RULES)] = NoStopping()
    resources: Resources = Resources()
    budget: Budget = Budget()
    tracking: Tracking = Tracking()
