"""VGG-11 and the kinds of its layers: fields, limits, canonical form, size."""

from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field

from convnn import plugins
from convnn.geometry import POOLED_SIDE, Stage, convnn_channels, padded_tokens, patched, vgg11_stages
from search_spaces.base import Decides, Factory, Infeasible
from search_spaces.domains import every, largest, smallest
from search_spaces.models.base import Kept, MixingLayer, ModelConfig, lam, register_model, total
from search_spaces.models.candidates import (
    WIDEST_RING,
    Aggregation,
    AllCandidates,
    Candidates,
    Lambda,
    Neighbors,
    RhoChoice,
    SelfFirst,
    SelfScore,
    Similarity,
    TokenGrid,
    canonical_neighbors,
    convnn_infeasibilities,
    neighbors_kept,
    own_is_compared,
)
from search_spaces.registry import OneOf, Registry

KernelSize = Annotated[
    int, Field(ge=1, le=31, description="Side of the convolution's kernel; its padding keeps the map's size.")
]


class VGGLayer(MixingLayer):
    """A kind of VGG's layers. `stages` are the layers that it makes, in order."""

    def arguments(self) -> dict[str, Any]:
        """The arguments of `convnn.models.vgg.vgg11` that make such layers.

        A kind of your own has `{"layer": Factory(...)}`, called with the channels in and out of each layer.
        """
        raise NotImplementedError

    def infeasibilities(self, stages: list[Stage]) -> Iterator[Infeasible]:  # noqa: ARG002
        """Everything that keeps such layers from running; paths begin with `model.layer`."""
        return iter(())

    def canonical(self, stages: list[Stage]) -> "VGGLayer":  # noqa: ARG002
        """The same for all kinds and options that compute the same."""
        return self

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:  # noqa: ARG002
        """What enters the keys, as plain data."""
        return self.model_dump(mode="json")

    def parameters(self, stage: Stage) -> int:  # noqa: ARG002
        """Of one layer without its batch norm: the exact number, or one that it has at least."""
        return 0

    def flops(self, stage: Stage) -> int | None:  # noqa: ARG002
        """Of one layer for one image, see `ModelConfig.flops`; `parameters` are exact where they are given."""
        return None

    def kept(self, stage: Stage) -> int | None:  # noqa: ARG002
        """About the numbers that one layer keeps of an image, its input and output apart; see `ModelConfig.kept`."""
        return None


class _Branches(VGGLayer):
    """Built as a HybridBranch2d: ConvNN's channels and a convolution's, joined by a 1x1 convolution."""

    def channels(self, stages: list[Stage]) -> list[int]:
        """ConvNN's output channels in each layer."""
        share = lam(self)
        return [convnn_channels(stage.out_channels, share) for stage in stages]

    def arguments(self) -> dict[str, Any]:
        return {**self.model_dump(exclude={"kind", "candidates"}), "lam": lam(self)}

    def parameters(self, stage: Stage) -> int:
        inputs, outputs, (ours,) = stage.in_channels, stage.out_channels, self.channels([stage])
        other = (outputs - ours) * (inputs * getattr(self, "kernel_size", 0) ** 2 + 1)
        return outputs**2 + outputs + other + (self.convnn_parameters(inputs, ours) if ours else 0)

    def flops(self, stage: Stage) -> int | None:
        inputs, outputs, (ours,) = stage.in_channels, stage.out_channels, self.channels([stage])
        other = inputs * (outputs - ours) * getattr(self, "kernel_size", 0) ** 2
        return 2 * stage.side**2 * (outputs**2 + other) + (self.convnn_flops(stage, ours) if ours else 0)

    def kept(self, stage: Stage) -> int | None:
        (ours,) = self.channels([stage])
        return stage.out_channels * stage.side**2 + (self.convnn_kept(stage, ours) if ours else 0)

    def convnn_kept(self, stage: Stage, outputs: int) -> int:
        """Of ConvNN with that many channels out."""
        raise NotImplementedError

    def convnn_parameters(self, inputs: int, outputs: int) -> int:
        """Of ConvNN with that many channels in and out."""
        raise NotImplementedError

    def convnn_flops(self, stage: Stage, outputs: int) -> int:
        """Of ConvNN with that many channels out."""
        raise NotImplementedError


class Conv2dLayer(_Branches):
    """The paper's baseline: a convolution and the 1x1 fuse; the same as a hybrid with lambda 0."""

    kind: Literal["conv2d"]
    is_baseline: ClassVar[bool] = True
    kernel_size: KernelSize = 3


class _ConvNNFields(_Branches):
    k: Neighbors = 9
    similarity: Similarity = "cosine"
    rho: RhoChoice = "constant"
    aggregation: Aggregation = "standard"
    position: Annotated[
        Literal["none", "similarity", "both"],
        Field(description="Whether coordinates join the features that are compared, or also those that are convolved."),
    ] = "none"
    position_scaling: Annotated[
        Literal["none", "std"],
        Field(description="std, as published: features are divided by their deviation before they meet coordinates."),
    ] = "none"
    patch: Annotated[
        int,
        Field(ge=1, le=32, description="Pixels along each axis that form one token (paper 13)."),
        Decides(every),
    ] = 1
    projections: Annotated[
        Literal["identity", "linear"], Field(description="linear maps features to query, key and value first.")
    ] = "identity"
    padding: Annotated[
        int,
        Field(
            ge=0,
            le=WIDEST_RING,
            description="Width of the ring of zero tokens that joins the candidates; 1 as published.",
        ),
        Decides(largest),
    ] = 1
    self_first: SelfFirst = True
    self_score: SelfScore = None
    candidates: Candidates = AllCandidates()

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), **self.candidates.arguments()}

    def infeasibilities(self, stages: list[Stage]) -> Iterator[Infeasible]:
        used = self._used(stages)
        grids = []
        for stage in sorted(used, key=lambda stage: stage.side):
            if stage.side % self.patch:
                rule = f"must divide every side of the map, and {stage.name} has {stage.side} x {stage.side} tokens"
                yield Infeasible("model.layer.patch", rule, str(self.patch), "patch: 1 always fits", before_got="; ")
                return
            grids.append(TokenGrid(stage.name, patched(stage.shape, self.patch)))
        if used:
            yield from convnn_infeasibilities(self, "model.layer", grids, self.padding)

    def _used(self, stages: list[Stage]) -> list[Stage]:
        return [stage for stage, count in zip(stages, self.channels(stages), strict=True) if count]

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        """What is compared with no coordinates needs no scaling.

        A token that is its own only neighbor needs no ring, nor do candidates that lie on a grid, where no coordinates
        are counted from it.
        """
        layer = self
        if layer.position == "none":
            layer = layer.model_copy(update={"position_scaling": "none"})
        elif layer.k == 1 and layer.self_first:
            unused = {"position_scaling": "none"} | ({"position": "none"} if layer.position == "similarity" else {})
            layer = layer.model_copy(update=unused) if layer.projections == "identity" else layer
        shapes = [patched(stage.shape, layer.patch) for stage in self._used(stages)]
        _, enough = layer.candidates.coverage(layer.k, shapes, layer.padding)
        alone = layer.k == 1 and layer.self_first
        if layer.position == "none" and (alone or (layer.candidates.on_grid and enough)):
            layer = layer.model_copy(update={"padding": 0})
        found: VGGLayer = canonical_neighbors(layer, shapes, layer.padding)
        return found

    def _widths(self, inputs: int, outputs: int) -> tuple[int, int, int, int]:
        """Channels of a token, those compared, those of its value, and those that the convolution reads."""
        channels = inputs * self.patch**2
        valued = channels + 2 * (self.position == "both")
        inner = outputs * self.patch**2 if self.aggregation == "depthwise" else valued
        return channels, channels + 2 * (self.position != "none"), valued, inner

    def convnn_parameters(self, inputs: int, outputs: int) -> int:
        channels, compared, valued, inner = self._widths(inputs, outputs)
        outputs *= self.patch**2
        projected = self.projections == "linear"
        total = 2 * compared * channels if projected else 0
        total += valued * inner if projected or inner != valued else 0
        if self.aggregation == "depthwise_separable":
            return total + inner * self.k + inner * outputs + outputs
        spread = 1 if self.aggregation == "depthwise" else inner
        return total + outputs * spread * self.k + outputs

    def tokens(self, stage: Stage) -> tuple[int, int, int]:
        """Tokens that ask, all with the ring where it is there, and candidates."""
        shape = patched(stage.shape, self.patch)
        asking, ring = padded_tokens(shape, 0), padded_tokens(shape, self.padding)
        candidates = self.candidates.count(shape, self.k, self.padding)
        in_ring = self.position != "none" or not self.candidates.on_grid or candidates == ring
        return asking, ring if in_ring else asking, candidates

    def convnn_flops(self, stage: Stage, outputs: int) -> int:
        channels, compared, valued, inner = self._widths(stage.in_channels, outputs)
        outputs *= self.patch**2
        asking, everywhere, candidates = self.tokens(stage)
        projected, products, own = self.projections == "linear", 0, own_is_compared(self)
        if projected:
            products += (asking * (1 + own) + candidates) * compared * channels
        if projected or inner != valued:
            products += everywhere * valued * inner
        alike = channels if projected else compared
        products += asking * alike * (candidates + (own and self.similarity != "euclidean"))
        spread = outputs if self.aggregation == "standard" else 1
        products += asking * inner * self.k * spread
        products += asking * inner * outputs * (self.aggregation == "depthwise_separable")
        return 2 * products

    def convnn_kept(self, stage: Stage, outputs: int) -> int:
        channels, compared, valued, inner = self._widths(stage.in_channels, outputs)
        asking, everywhere, candidates = self.tokens(stage)
        alike = channels if self.projections == "linear" else compared
        kept = everywhere * valued * (1 + (inner != valued or self.projections == "linear"))
        kept += neighbors_kept(self, asking, candidates, alike, inner)
        return kept + asking * inner * (self.aggregation == "depthwise_separable")


class ConvNNLayer(_ConvNNFields):
    """ConvNN alone; the same as a hybrid with lambda 1."""

    kind: Literal["convnn"]
    fixed_lam: ClassVar[float] = 1.0


class HybridLayer(_ConvNNFields):
    """ConvNN and a convolution side by side (paper 4.3)."""

    kind: Literal["hybrid"]
    lam: Lambda
    kernel_size: KernelSize = 3

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        """One without a branch is the other branch alone."""
        counts = self.channels(stages)
        if not any(counts):
            return Conv2dLayer(kind="conv2d", kernel_size=self.kernel_size)
        if counts == [stage.out_channels for stage in stages]:
            kept = {name: getattr(self, name) for name in ConvNNLayer.model_fields if name != "kind"}
            return ConvNNLayer(kind="convnn", **kept).canonical(stages)
        return super().canonical(stages)

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:
        """Lambda enters as the channels that it stands for."""
        content = super().key_content(stages)
        del content["lam"]
        return {**content, "convnn_channels": self.channels(stages)}


LAYERS = Registry(VGGLayer, "kind", Conv2dLayer, ConvNNLayer, HybridLayer, group=plugins.LAYERS)
register_layer = LAYERS.register
"""Lets files name another kind of layer, a subclass of VGGLayer."""


@register_model
class VGG11(ModelConfig):
    """VGG-11 as published: 8 layers of one kind, batch norm, a classifier over 7 x 7 positions."""

    small: ClassVar = {"width": 0.125, "classifier_width": 64}
    name: Literal["vgg11"] = "vgg11"
    width: Annotated[float, Field(gt=0, le=4, description="Multiplies every layer's channels."), Decides(smallest)] = (
        1.0
    )
    classifier_width: Annotated[int, Field(ge=1, le=65536, description="Units of both hidden classifier layers.")] = (
        4096
    )
    dropout: Annotated[float, Field(ge=0, lt=1, description="After each hidden classifier layer.")] = 0.5
    layer: Annotated[VGGLayer, OneOf(LAYERS)]

    @property
    def mixing_layer(self) -> VGGLayer:
        return self.layer

    def stages(self) -> list[Stage]:
        """The model's layers."""
        return [stage for stage in vgg11_stages(self.width) if stage is not None]

    def factory(self, classes: int) -> Factory:
        own = self.model_dump(exclude={"name", "layer"})
        return Factory("convnn.models.vgg:vgg11", {"num_classes": classes, **own, **self.layer.arguments()})

    def infeasibilities(self) -> Iterator[Infeasible]:
        return self.layer.infeasibilities(self.stages())

    def canonical(self) -> Self:
        return self.model_copy(update={"layer": self.layer.canonical(self.stages())})

    def key_content(self) -> dict[str, Any]:
        """Width enters as the channels that it stands for."""
        stages = self.stages()
        content = self.model_dump(mode="json", exclude={"width", "layer"})
        channels = [stage.out_channels for stage in stages]
        return {**content, "channels": channels, "layer": self.layer.key_content(stages)}

    def parameters(self, classes: int) -> int:
        layers = (2 * stage.out_channels + self.layer.parameters(stage) for stage in self.stages())
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
        return total([classifier, *map(self.layer.flops, stages)])

    def kept(self, classes: int) -> list[Kept] | None:  # noqa: ARG002
        """What batch norm, its activation and the pools read and note, and what the layers keep."""
        parts = [Kept(POOLED_SIDE**2 * self.stages()[-1].out_channels + 6 * self.classifier_width, 0)]
        for stage, following in pairwise(vgg11_stages(self.width)):
            if stage is not None:
                own, area = self.layer.kept(stage), stage.out_channels * stage.side**2
                if own is None:
                    return None
                parts.append(Kept(own + 2 * area + (3 * area // 4 if following is None else 0), area))
        return parts
