"""The settings of an attention, a model, a data set, a sampler and a stopping rule, without torch."""

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from convnn.data.facts import DatasetFacts
from search_spaces.base import Factory
from search_spaces.models import MixingLayer, ModelConfig, ViTAttention
from search_spaces.settings import SamplerSettings, Stopping


class Averaging(ViTAttention):
    """Each token becomes the mean of the tokens around it."""

    config_version: ClassVar[int] = 1
    kind: Literal["averaging"]
    reach: Annotated[int, Field(ge=0, le=64, description="Tokens to each side.")] = 2

    def arguments(self) -> dict[str, Any]:
        return {"attention": Factory("my_kinds.others:Averaging", {"reach": self.reach})}

    def parameters(self, dim: int, heads: int) -> int:
        return dim * dim + dim


class PixelMLP(ModelConfig):
    """Two fully connected layers on the pixels."""

    config_version: ClassVar[int] = 1
    small: ClassVar = {"hidden": 16}
    name: Literal["pixel_mlp"]
    hidden: Annotated[int, Field(ge=1, le=65536, description="Units between the two layers.")] = 256

    @property
    def mixing_layer(self) -> MixingLayer:
        return MixingLayer()

    def factory(self, classes: int) -> Factory:
        return Factory("my_kinds.others:pixel_mlp", {"num_classes": classes, "hidden": self.hidden})

    def headline(self) -> dict[str, Any]:
        return {**super().headline(), "hidden": self.hidden}


STRIPES = DatasetFacts(
    classes=4,
    train_images=256,
    test_images=64,
    mean=(0.5, 0.5, 0.5),
    std=(0.29, 0.29, 0.29),
    source="my_kinds.images:find",
    config_version=1,
)


class Shuffled(SamplerSettings):
    """Every point of a finite space, in random order."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = "my_kinds.search:ShuffledSampler"
    sampler: Literal["shuffled"]
    seed: Annotated[int, Field(ge=0, description="Seed of the order.")] = 0


class BehindBest(Stopping):
    """Stop a trial that is far worse than the best complete trial at the same epoch."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = "my_kinds.search:BehindBestRule"
    kind: Literal["behind_best"]
    margin: Annotated[float, Field(gt=0, description="Largest difference, in the unit of the metric.")] = 0.1
    grace_epochs: Annotated[int, Field(ge=1, description="No trial stops before this epoch.")] = 1
