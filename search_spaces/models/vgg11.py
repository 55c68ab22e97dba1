"""VGG-11, with one layer for all stages or layers by depth: fields, limits, canonical form, size."""

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
    """VGG-11 as published: 8 layers, equal or by depth, batch norm, a classifier over 7 x 7 positions."""

    model_config = ConfigDict(
        json_schema_extra={"oneOf": [{"required": ["layer"]}, {"required": ["layers"]}]},
    )

    small: ClassVar = {"width": 0.125, "classifier_width": 64}
    name: Literal["vgg11"] = "vgg11"
    width: Annotated[float, Field(gt=0, le=4, description="Factor on every layer's channels."), Decides(smallest)] = 1.0
    classifier_width: Annotated[
        int, Field(ge=1, le=65536, description="Units in each of the two hidden classifier layers.")
    ] = 4096
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout after each hidden classifier layer.")] = 0.5
    layer: Annotated[VGGLayer | None, OneOf(LAYERS)] = None
    layers: Layers | None = None

    @classmethod
    def mistakes_in(cls, names: Sequence[str]) -> Iterator[tuple[str, str]]:
        """Require either `layer` or `layers`."""
        if "layer" in names and "layers" in names:
            way = "layer is the same for all stages, layers names every stage, conv1 to conv8"
            yield "layers", f"must not be combined with layer, got both; remove one of them ({way})."
        if "layer" not in names and "layers" not in names:
            kinds = alternatives(LAYERS.words())
            way = "or set layers, with one layer for each range of stages, such as conv5-conv8"
            yield "layer", f"is missing; it must be a mapping with kind {kinds}; {way}."

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        for name, message in self.mistakes_in(
            [name for name in ("layer", "layers") if getattr(self, name) is not None]
        ):
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
        """Return the model's layers."""
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
        """Replace width by the channels that it results in."""
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
        """Return the size of all slices but one of the first fully connected layer."""
        return self.stages()[-1].out_channels * (POOLED_SIDE**2 - 1) * self.classifier_width

    def activations(self) -> int:
        """Return the numbers that batch norm and the next layer read, over all layers."""
        return sum(2 * stage.out_channels * stage.side**2 for stage in self.stages())

    def flops(self, classes: int) -> int | None:
        stages, hidden = self.stages(), self.classifier_width
        classifier = 2 * hidden * (stages[-1].out_channels * POOLED_SIDE**2 + hidden + classes)
        return total([classifier, *map(self.mixing_layer.flops, stages)])

    def kept(self, classes: int) -> list[Kept] | None:  # noqa: ARG002
        """Estimate what the layers keep, and what batch norm, its activation and the pooling layers read and store."""
        parts = [Kept(POOLED_SIDE**2 * self.stages()[-1].out_channels + 6 * self.classifier_width, 0)]
        for stage, following in pairwise(vgg11_stages(self.width)):
            if stage is not None:
                own, area = self.mixing_layer.kept(stage), stage.out_channels * stage.side**2
                if own is None:
                    return None
                parts.append(Kept(own + 2 * area + (3 * area // 4 if following is None else 0), area))
        return parts
