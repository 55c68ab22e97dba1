"""TrialConfig: the full description of one run. A space is the same tree with domains at its leaves.

Every field is declared, documented and limited here and in `models`, and nowhere else.
"""

from typing import Annotated, Literal, Self

from pydantic import Field

from convnn.data.facts import DATASETS
from search_spaces.base import Config
from search_spaces.models import MODELS, ModelConfig
from search_spaces.models.base import capped
from search_spaces.registry import OneOf, OneWord

SEEDS = 2**31
"""Exclusive upper bound of seeds."""


class Data(Config):
    """The images to train and evaluate on."""

    name: Annotated[str, OneWord(DATASETS), Field(description="Data set; digits needs no files.")] = "digits"
    root: Annotated[
        str | None,
        Field(
            min_length=1,
            description="Folder of Parquet files, or of torchvision's files (downloaded if missing). null: "
            "CONVNN_DATA_ROOT, else ~/data.",
        ),
    ] = None
    limit: Annotated[
        int | None,
        Field(ge=1, le=10**9, description="Approximate limit on the images of each split, with classes in proportion."),
    ] = None

    def canonical(self) -> Self:
        """Return the canonical form, the same for all limits that no split can reach."""
        facts = DATASETS[self.name]
        reached = self.limit is not None and self.limit < max(facts.train_images, facts.test_images)
        return self if reached else self.model_copy(update={"limit": None})

    def most_images(self) -> int:
        """Return an upper bound on the images that any protocol trains or evaluates on."""
        facts = DATASETS[self.name]
        larger = max(facts.train_images, facts.test_images)
        return larger if self.limit is None else min(larger, self.limit + facts.classes)


class Training(Config):
    """How to train; the defaults are those of the published runs."""

    lr: Annotated[float, Field(gt=0, le=10, description="Learning rate.")] = 1e-4
    epochs: Annotated[int, Field(ge=1, le=100_000, description="Passes over the training images.")] = 150
    batch_size: Annotated[int, Field(ge=1, le=65536, description="Images per training step.")] = 256
    optimizer: Annotated[Literal["adamw", "sgd"], Field(description="sgd uses momentum 0.9.")] = "adamw"
    weight_decay: Annotated[
        float, Field(ge=0, le=10, description="Weight decay; decoupled from the gradient with adamw.")
    ] = 0.01
    clip_norm: Annotated[float | None, Field(gt=0, description="Maximum gradient norm; null disables clipping.")] = 1.0
    label_smoothing: Annotated[float, Field(ge=0, lt=1, description="Label smoothing of the cross-entropy loss.")] = 0.0
    schedule: Annotated[
        Literal["constant", "cosine"],
        Field(description="Learning-rate schedule; cosine reaches 0 after the last epoch."),
    ] = "constant"
    augmentation: Annotated[
        Literal["none", "flip_shift"],
        Field(description="flip_shift: random horizontal flips, and shifts by up to 4 pixels."),
    ] = "none"
    precision: Annotated[Literal["fp32", "tf32", "bf16"], Field(description="tf32 needs an NVIDIA GPU.")] = "fp32"
    compile: Annotated[bool, Field(description="Use torch.compile.")] = False
    seed: Annotated[int, Field(ge=0, lt=SEEDS, description="Seed of initial weights, batch order and dropout.")] = 0

    def canonical(self, images: int) -> Self:
        """Return the canonical form, the same for all batch sizes of at least `images`, the size of the data."""
        return self.model_copy(update={"batch_size": capped(self, "batch_size", images)})


class TrialConfig(Config):
    """One run: its data, its model, its training."""

    data: Data = Data()
    model: Annotated[ModelConfig, OneOf(MODELS)]
    training: Training = Training()

    def canonical(self) -> Self:
        """Return the form that all configurations with the same computation share; the trial must be able to run."""
        data = self.data.canonical()
        training = self.training.canonical(data.most_images())
        return self.model_copy(update={"data": data, "model": self.model.canonical(), "training": training})
