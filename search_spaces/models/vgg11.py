"""VGG-11: its fields, limits, canonical form and size, of layers that are alike or differ by depth."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import ConfigDict, Field, SerializerFunctionWrapHandler, model_serializer, model_validator

from convnn.geometry import POOLED_SIDE, Stage, vgg11_stages
from search_spaces.base import Decides, Factory, Infeasible
from search_spaces.domains import smallest
from search_spaces.models.base import Kept, ModelConfig, register_model, total
from search_spaces.models.depth import Layers, without_null
from search_spaces.models.vgg import LAYERS, VGGLayer
from search_spaces.reading.fields import alternatives
from search_spaces.registry import OneOf


@register_model
class VGG11(ModelConfig):
    """VGG-11 as published: 8 layers, all alike or by depth, batch norm, a classifier over 7 x 7 positions."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["layer"]}, {"required": ["layers"]}]},
    )

    small: ClassVar = {"width": 0.125, "classifier_width": 64}
    name: Literal["vgg11"] = "vgg11"
    width: Annotated[float, Field(gt=0, le=4, description="Multiplies every layer's channels."), Decides(smallest)] = (
        1.0
    )
    classifier_width: Annotated[int, Field(ge=1, le=65536, description="Units of both hidden classifier layers.")] = (
        4096
    )
    dropout: Annotated[float, Field(ge=0, lt=1, description="After each hidden classifier layer.")] = 0.5
    layer: Annotated[VGGLayer | None, OneOf(LAYERS)] = None
    layers: Layers | None = None

    @classmethod
    def amiss(cls, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """A file has one layer for all, or one for each range of layers."""
        if "layer" in names and "layers" in names:
            rule = "must not stand beside layer, which is one for all layers, got both"
            yield "layers", f"{rule}; leave one of them out (layers names every layer, conv1 to conv8, itself)."
        if "layer" not in names and "layers" not in names:
            kinds = alternatives(LAYERS.words())
            way = "or give layers, one for each range of layers, such as conv5-conv8"
            yield "layer", f"is missing; it must be a mapping with kind {kinds}; {way}."

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        for name, message in self.amiss([name for name in ("layer", "layers") if getattr(self, name) is not None]):
            raise ValueError(f"{name} {message}")
        return self

    @model_serializer(mode="wrap")
    def _without_the_other(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        return without_null(handler(self), "layer", "layers")

    @property
    def mixing_layer(self) -> VGGLayer:
        found = self.layer or self.layers
        assert found is not None
        return found

    def stages(self) -> list[Stage]:
        """The model's layers."""
        return [stage for stage in vgg11_stages(self.width) if stage is not None]

    def factory(self, classes: int) -> Factory:
        own = self.model_dump(exclude={"name", "layer", "layers"})
        return Factory("convnn.models.vgg:vgg11", {"num_classes": classes, **own, **self.mixing_layer.arguments()})

    def infeasibilities(self) -> Iterator[Infeasible]:
        return self.mixing_layer.infeasibilities(self.stages())

    def canonical(self) -> Self:
        form = self.mixing_layer.canonical(self.stages())
        by_depth = isinstance(form, Layers)
        return self.model_copy(update={"layer": None if by_depth else form, "layers": form if by_depth else None})

    def key_content(self) -> dict[str, Any]:
        """Width enters as the channels that it stands for."""
        stages = self.stages()
        content = self.model_dump(mode="json", exclude={"width", "layer", "layers"})
        channels = [stage.out_channels for stage in stages]
        return {**content, "channels": channels, "layer": self.mixing_layer.key_content(stages)}

    def parameters(self, classes: int) -> int:
        layers = (2 * stage.out_channels + self.mixing_layer.parameters(stage) for stage in self.stages())
        return self.classifier_parameters(classes) + sum(layers)

    def classifier_parameters(self, classes: int) -> int:
        inputs, hidden = self.stages()[-1].out_channels * POOLED_SIDE**2, self.classifier_width
        return hidden * (inputs + 1 + hidden + 1 + classes) + classes

    def folded(self) -> int:
        """The slices of the first fully connected layer but one."""
        return self.stages()[-1].out_channels * (POOLED_SIDE**2 - 1) * self.classifier_width

    def activations(self) -> int:
        """What batch norm and the next layer read, of every layer."""
        return sum(2 * stage.out_channels * stage.side**2 for stage in self.stages())

    def flops(self, classes: int) -> int | None:
        stages, hidden = self.stages(), self.classifier_width
        classifier = 2 * hidden * (stages[-1].out_channels * POOLED_SIDE**2 + hidden + classes)
        return total([classifier, *map(self.mixing_layer.flops, stages)])

    def kept(self, classes: int) -> list[Kept] | None:  # noqa: ARG002
        """What batch norm, its activation and the pools read and note, and what the layers keep."""
        parts = [Kept(POOLED_SIDE**2 * self.stages()[-1].out_channels + 6 * self.classifier_width, 0)]
        for stage, following in pairwise(vgg11_stages(self.width)):
            if stage is not None:
                own, area = self.mixing_layer.kept(stage), stage.out_channels * stage.side**2
                if own is None:
                    return None
                parts.append(Kept(own + 2 * area + (3 * area // 4 if following is None else 0), area))
        return parts
