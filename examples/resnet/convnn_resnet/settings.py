"""The settings of the model, and the facts of the data set. Sweep files load it, so it must not import torch."""

from collections.abc import Iterator
from dataclasses import replace
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from convnn.data.facts import DatasetFacts
from convnn.geometry import IMAGE_SIDE, Stage
from search_spaces.base import Decides, Factory, Infeasible
from search_spaces.domains import smallest
from search_spaces.models import MixingLayer, ModelConfig, VGGLayer
from search_spaces.models.base import Kept, total
from search_spaces.models.vgg import LAYERS
from search_spaces.registry import OneOf

COLORS = 3
STAGES = ("stage1", "stage2", "stage3")


class _Layers(MixingLayer):
    """The layers of all stages, for comparisons with a baseline."""

    by_stage: tuple[VGGLayer, ...]

    def parts(self) -> tuple[VGGLayer, ...]:
        return self.by_stage


class ResNet(ModelConfig):
    """A ResNet for 32 x 32 images: three stages of residual blocks, with one kind of layer per stage."""

    config_version: ClassVar[int] = 1
    small: ClassVar = {"n": 1, "width": 4}
    examples: ClassVar = (
        {"stage1": {"kind": "conv2d"}, "stage2": {"kind": "conv2d"}, "stage3": {"kind": "convnn", "k": 4}},
        {
            "stage1": {"kind": "hybrid", "lambda": 0.5, "candidates": {"kind": "random", "r": 64}},
            "stage2": {"kind": "hybrid", "lambda": 0.0},
            "stage3": {"kind": "hybrid", "lambda": 1.0, "candidates": {"kind": "strided", "stride": 2}},
        },
    )

    name: Literal["resnet"]
    n: Annotated[int, Field(ge=1, le=200, description="Residual blocks per stage; the depth is 6n + 2.")] = 3
    width: Annotated[
        int,
        Field(ge=1, le=1024, description="Channels of stage1; stage2 has twice and stage3 four times as many."),
        Decides(smallest),
    ] = 16
    stage1: Annotated[VGGLayer, OneOf(LAYERS), Field(description="The layers on 32 x 32 maps.")]
    stage2: Annotated[VGGLayer, OneOf(LAYERS), Field(description="The layers on 16 x 16 maps.")]
    stage3: Annotated[VGGLayer, OneOf(LAYERS), Field(description="The layers on 8 x 8 maps.")]

    @property
    def mixing_layer(self) -> MixingLayer:
        return _Layers(by_stage=(self.stage1, self.stage2, self.stage3))

    def headline(self) -> dict[str, Any]:
        """Return no columns for all layers together: tables have columns for each stage, such as `stage1.lambda`."""
        return {}

    def by_stage(self) -> Iterator[tuple[str, VGGLayer, list[Stage]]]:
        """Yield the name, the kind of layer and the layers of each stage: two per block.

        The first layer of stage2 and stage3 still has the larger map of the stage before it, see `convnn_resnet.model`.
        """
        inputs, outputs, side = self.width, self.width, IMAGE_SIDE
        for name in STAGES:
            first = Stage(name, inputs, outputs, side)
            side = side if inputs == outputs else side // 2
            yield name, getattr(self, name), [first, *[Stage(name, outputs, outputs, side)] * (2 * self.n - 1)]
            inputs, outputs = outputs, 2 * outputs

    def factory(self, classes: int) -> Factory:
        stages = [layer.arguments() for _, layer, _ in self.by_stage()]
        options = {"n": self.n, "width": self.width, **dict(zip(STAGES, stages, strict=True))}
        return Factory("convnn_resnet.model:resnet", {"num_classes": classes, **options})

    def infeasibilities(self) -> Iterator[Infeasible]:
        for name, layer, stages in self.by_stage():
            for reason in layer.infeasibilities(stages):
                yield replace(reason, path=f"model.{name}{reason.path.removeprefix('model.layer')}")

    def canonical(self) -> Self:
        """Return the canonical form of each stage. At lambda 0, for example, k has no effect."""
        return self.model_copy(update={name: layer.canonical(stages) for name, layer, stages in self.by_stage()})

    def key_content(self) -> dict[str, Any]:
        layers = {name: layer.key_content(stages) for name, layer, stages in self.by_stage()}
        return {**super().key_content(), **layers}

    # All methods from here on are optional: without them, `convnn plan` builds each model to find its size.

    def parameters(self, classes: int) -> int:
        norms = 2 * self.width * (1 + 2 * self.n * (1 + 2 + 4))
        layers = sum(layer.parameters(each) for _, layer, stages in self.by_stage() for each in stages)
        return 9 * COLORS * self.width + norms + layers + self.classifier_parameters(classes)

    def classifier_parameters(self, classes: int) -> int:
        return (4 * self.width + 1) * classes

    def flops(self, classes: int) -> int | None:
        ends = 2 * (9 * COLORS * self.width * IMAGE_SIDE**2 + 4 * self.width * classes)
        return total([ends, *(layer.flops(each) for _, layer, stages in self.by_stage() for each in stages)])

    def activations(self) -> int:
        """Return the numbers that batch norm and the next layer read."""
        return sum(2 * area for area in self._areas())

    def kept(self, classes: int) -> list[Kept] | None:  # noqa: ARG002
        layers = [layer.kept(each) for _, layer, stages in self.by_stage() for each in stages]
        parts = [Kept(own + 2 * area, area) for own, area in zip(layers, self._areas(), strict=True) if own is not None]
        first = 2 * self.width * IMAGE_SIDE**2
        return [Kept(first, first // 2), *parts] if len(parts) == len(layers) else None

    def _areas(self) -> list[int]:
        """Return the size of each layer's output, of which the first one of stage2 and stage3 keeps a quarter."""
        return [stages[-1].side ** 2 * each.out_channels for _, _, stages in self.by_stage() for each in stages]


SHAPES = DatasetFacts(
    classes=3,
    train_images=240,
    test_images=60,
    mean=(0.322, 0.339, 0.318),
    std=(0.222, 0.216, 0.22),
    source="convnn_resnet.images:shapes",
    config_version=1,
)
"""The facts of what `draw_shapes.py` draws. `python -m convnn_resnet.images FOLDER` prints those of any folder."""

CLASSES = ("circle", "square", "triangle")
"""The subfolders, by label."""
