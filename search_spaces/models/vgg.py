"""The kinds of VGG-11's layers: fields, limits, canonical form, size."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from convnn.geometry import Stage, convnn_channels, padded_tokens, patched
from search_spaces.base import Decides, Infeasible
from search_spaces.domains import every, largest
from search_spaces.models.base import MixingLayer, lam
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
from search_spaces.registry import Registry

KernelSize = Annotated[
    int, Field(ge=1, le=31, description="Side of the convolution's kernel; the padding keeps the map's size.")
]


class VGGLayer(MixingLayer):
    """A kind of VGG layer. `stages` are the layers that it builds, in order."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `convnn.models.vgg.vgg11` that build such layers.

        A custom kind returns `{"layer": Factory(...)}`. It is called with the input and output channels of each layer.
        """
        raise NotImplementedError

    def infeasibilities(self, stages: list[Stage]) -> Iterator[Infeasible]:  # noqa: ARG002
        """Yield every reason why such layers cannot run; paths start with `model.layer`."""
        return iter(())

    def canonical(self, stages: list[Stage]) -> "VGGLayer":  # noqa: ARG002
        """Return the form that all kinds and options with the same computation share."""
        return self

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:  # noqa: ARG002
        """Return the content of the keys, as plain data."""
        return self.model_dump(mode="json")

    def parameters(self, stage: Stage) -> int:  # noqa: ARG002
        """Return the number of parameters of one layer without its batch norm: exact, or a lower bound."""
        return 0

    def flops(self, stage: Stage) -> int | None:  # noqa: ARG002
        """Return the FLOPs of one layer for one image, see `ModelConfig.flops`; `parameters` must then be exact."""
        return None

    def kept(self, stage: Stage) -> int | None:  # noqa: ARG002
        """Estimate the numbers per image that one layer keeps, without its input and output; see `ModelConfig.kept`."""
        return None


class _Branches(VGGLayer):
    """Layers built as a HybridBranch2d: ConvNN channels and convolution channels, fused by a 1x1 convolution."""

    def channels(self, stages: list[Stage]) -> list[int]:
        """Return ConvNN's output channels in each layer."""
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
        """Return the numbers kept by ConvNN with `outputs` output channels."""
        raise NotImplementedError

    def convnn_parameters(self, inputs: int, outputs: int) -> int:
        """Return the parameters of ConvNN with these input and output channels."""
        raise NotImplementedError

    def convnn_flops(self, stage: Stage, outputs: int) -> int:
        """Return the FLOPs of ConvNN with `outputs` output channels."""
        raise NotImplementedError


class Conv2dLayer(_Branches):
    """The paper's baseline: a convolution followed by the 1x1 fusion; equal to a hybrid with lambda 0."""

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
        Field(
            description="Add coordinates to the compared features (similarity), or also to the convolved ones (both)."
        ),
    ] = "none"
    position_scaling: Annotated[
        Literal["none", "std"],
        Field(description="std, as published: divide features by their standard deviation before adding coordinates."),
    ] = "none"
    patch: Annotated[
        int,
        Field(ge=1, le=32, description="Pixels along each axis of one token (paper 13)."),
        Decides(every),
    ] = 1
    projections: Annotated[
        Literal["identity", "linear"], Field(description="linear: first project features to query, key and value.")
    ] = "identity"
    padding: Annotated[
        int,
        Field(
            ge=0,
            le=WIDEST_RING,
            description="Width of the ring of zero tokens that is added to the candidates; 1 as published.",
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
        """Drop options without effect.

        Without coordinates, scaling has no effect. Without coordinates, the ring has no effect if a token is its own
        only neighbor, or if candidates lie on a grid.
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
        """Return the channels of a token, of the comparison, of its value, and of the convolution's input."""
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
        """Return the numbers of query tokens, of all tokens including the ring if it is used, and of candidates."""
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
    """ConvNN alone; equal to a hybrid with lambda 1."""

    kind: Literal["convnn"]
    fixed_lam: ClassVar[float] = 1.0


class HybridLayer(_ConvNNFields):
    """ConvNN and a convolution side by side (paper 4.3)."""

    kind: Literal["hybrid"]
    lam: Lambda
    kernel_size: KernelSize = 3

    def canonical(self, stages: list[Stage]) -> VGGLayer:
        """Return the other branch alone if one branch has no channels."""
        counts = self.channels(stages)
        if not any(counts):
            return Conv2dLayer(kind="conv2d", kernel_size=self.kernel_size)
        if counts == [stage.out_channels for stage in stages]:
            kept = {name: getattr(self, name) for name in ConvNNLayer.model_fields if name != "kind"}
            return ConvNNLayer(kind="convnn", **kept).canonical(stages)
        return super().canonical(stages)

    def key_content(self, stages: list[Stage]) -> dict[str, Any]:
        """Replace lambda by the channels that it results in."""
        content = super().key_content(stages)
        del content["lam"]
        return {**content, "convnn_channels": self.channels(stages)}


LAYERS = Registry(VGGLayer, "kind", Conv2dLayer, ConvNNLayer, HybridLayer)
register_layer = LAYERS.register
"""Register another kind of layer, a subclass of VGGLayer, so that files can use it."""
