"""ViT-Tiny and its kinds of attention: fields, limits, canonical form, size."""

from collections.abc import Iterator
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field

from convnn.geometry import convnn_channels, vit_tokens
from search_spaces.base import Decides, Factory, Infeasible, Rule
from search_spaces.domains import every
from search_spaces.models.base import Kept, MixingLayer, ModelConfig, capped, lam, register_model
from search_spaces.models.candidates import (
    Aggregation,
    AllCandidates,
    Lambda,
    Neighbors,
    RhoChoice,
    SelfFirst,
    SelfScore,
    SequenceCandidates,
    Similarity,
    TokenGrid,
    canonical_neighbors,
    convnn_infeasibilities,
    neighbors_kept,
    own_is_compared,
)
from search_spaces.registry import OneOf, Registry


class ViTAttention(MixingLayer):
    """A kind of ViT attention, with heads that share `dim` channels, on `tokens` tokens."""

    def arguments(self) -> dict[str, Any]:
        """Return the arguments of `convnn.models.vit.vit_tiny` that build it.

        A custom kind returns `{"attention": Factory(...)}`, which is called with channels, heads and `dropout`.
        """
        return self.model_dump()

    def fits_heads(self, dim: int, heads: int) -> bool:
        """Return whether this number of heads can share the channels."""
        return dim % heads == 0

    def infeasibilities(self, dim: int, heads: int, tokens: int) -> Iterator[Infeasible]:  # noqa: ARG002
        """Yield every reason why it cannot run; paths start with `model.attention`."""
        return iter(())

    def canonical(self, dim: int, heads: int, tokens: int) -> "ViTAttention":  # noqa: ARG002
        """Return the form that all options with the same computation share."""
        return self

    def key_content(self, dim: int) -> dict[str, Any]:  # noqa: ARG002
        """Return the content of the keys, as plain data."""
        return self.model_dump(mode="json")

    def parameters(self, dim: int, heads: int) -> int:  # noqa: ARG002
        """Return the number of parameters: exact, or a lower bound."""
        return 0

    def flops(self, dim: int, heads: int, tokens: int) -> int | None:  # noqa: ARG002
        """Return the FLOPs of one layer for one image, see `ModelConfig.flops`; `parameters` must then be exact."""
        return None

    def kept(self, dim: int, heads: int, tokens: int) -> int | None:  # noqa: ARG002
        """Estimate the numbers per image that one layer keeps, without its input; see `ModelConfig.kept`."""
        return None


class _Projected(ViTAttention):
    """Query, key, value and output projections around an attention of `inner` channels."""

    def arguments(self) -> dict[str, Any]:
        options = self.model_dump()
        return {"attention": options.pop("kind"), **options}

    def inner(self, dim: int, heads: int) -> int:  # noqa: ARG002
        """Return the channels of all heads together."""
        return dim

    def parameters(self, dim: int, heads: int) -> int:
        return 4 * dim * self.inner(dim, heads)

    def flops(self, dim: int, heads: int, tokens: int) -> int | None:
        """Count projections, scores and values; masked pairs of tokens are multiplied as well."""
        return 2 * tokens * self.inner(dim, heads) * (4 * dim + 2 * tokens)

    def kept(self, dim: int, heads: int, tokens: int) -> int | None:
        """Count queries, keys, values and outputs; weights before and after dropout, and a byte for each mask entry."""
        return tokens * (4 * self.inner(dim, heads) + 9 * heads * tokens // 4)


class SoftmaxAttention(_Projected):
    """Every token attends to every token."""

    kind: Literal["attention"]
    is_baseline: ClassVar[bool] = True


class _ConvNNAttentionFields(_Projected):
    k: Neighbors = 9
    similarity: Similarity = "cosine"
    rho: RhoChoice = "softmax"
    aggregation: Aggregation = "depthwise"
    self_first: SelfFirst = False
    self_score: SelfScore = None
    candidates: SequenceCandidates = AllCandidates()

    def arguments(self) -> dict[str, Any]:
        return {**super().arguments(), **self.candidates.arguments()}

    def channels(self, dim: int) -> int:
        """Return ConvNN's output channels."""
        return convnn_channels(dim, lam(self))

    def infeasibilities(self, dim: int, heads: int, tokens: int) -> Iterator[Infeasible]:  # noqa: ARG002
        if self.channels(dim):
            yield from convnn_infeasibilities(self, "model.attention", [TokenGrid("every block", (tokens,))])

    def canonical(self, dim: int, heads: int, tokens: int) -> ViTAttention:  # noqa: ARG002
        found: ViTAttention = canonical_neighbors(self, [(tokens,)], 0)
        return found

    def convnn_parameters(self, dim: int) -> int:
        """Return the parameters of ConvNN without its output projection."""
        spread = {"standard": dim * self.k, "depthwise": self.k, "depthwise_separable": self.k + dim}
        return 3 * dim**2 + dim * spread[self.aggregation]

    def convnn_flops(self, dim: int, tokens: int, outputs: int) -> int:
        """Return the FLOPs of ConvNN with `outputs` output channels."""
        candidates, own = self.candidates.count((tokens,), self.k, 0), own_is_compared(self)
        projected = tokens + (tokens if own else candidates) + (tokens if self.self_first else candidates)
        compared = tokens * (candidates + (own and self.similarity != "euclidean"))
        ranks = {"standard": dim * self.k, "depthwise": self.k, "depthwise_separable": self.k + dim}[self.aggregation]
        return 2 * dim * (projected * dim + compared + tokens * (ranks + outputs))

    def convnn_kept(self, dim: int, tokens: int) -> int:
        """Return the numbers kept by ConvNN: values, the neighbor search, and the output before and after dropout."""
        candidates, separable = self.candidates.count((tokens,), self.k, 0), self.aggregation == "depthwise_separable"
        rows = (tokens if self.self_first else candidates) + tokens * (2 + separable)
        return dim * rows + neighbors_kept(self, tokens, candidates, dim, dim)


class ConvNNAttention(_ConvNNAttentionFields):
    """ConvNN with query, key and value projections (paper 5.2); the published runs used the dot product."""

    kind: Literal["convnn"]
    fixed_lam: ClassVar[float] = 1.0

    def parameters(self, dim: int, heads: int) -> int:  # noqa: ARG002
        return self.convnn_parameters(dim) + dim**2

    def flops(self, dim: int, heads: int, tokens: int) -> int | None:  # noqa: ARG002
        return self.convnn_flops(dim, tokens, dim)

    def kept(self, dim: int, heads: int, tokens: int) -> int | None:  # noqa: ARG002
        return self.convnn_kept(dim, tokens)


class KVTAttention(_Projected):
    """Softmax over only the k best keys of each token."""

    kind: Literal["kvt"]
    k: Neighbors = 9

    def infeasibilities(self, dim: int, heads: int, tokens: int) -> Iterator[Infeasible]:  # noqa: ARG002
        if self.k > tokens:
            rule, way = f"must be at most {tokens} (tokens of every block)", "use a smaller k or smaller patches"
            yield Infeasible("model.attention.k", rule, str(self.k), way)


class LocalAttention(_Projected):
    """Softmax over the tokens within a distance of `window`, with rotary positions."""

    kind: Literal["local"]
    window: Annotated[int, Field(ge=1, le=1_000_000, description="Largest distance of attended tokens.")] = 128
    head_dim: Annotated[
        int | None,
        Field(ge=1, le=65536, description="Channels per head; null: dim / heads. 64 as published."),
        Decides(every),
    ] = None
    rotary: Annotated[bool, Field(description="Add rotary positions to the model's own."), Decides(every)] = True

    def inner(self, dim: int, heads: int) -> int:
        return heads * (self.head_dim or dim // heads)

    def fits_heads(self, dim: int, heads: int) -> bool:
        """Return true if `head_dim` is set, because such heads always fit."""
        return bool(self.head_dim) or super().fits_heads(dim, heads)

    def canonical(self, dim: int, heads: int, tokens: int) -> ViTAttention:
        """Limit the value to the distance between the first and the last token."""
        changes: dict[str, Any] = {"window": capped(self, "window", tokens - 1)}
        if self.head_dim is not None and self.head_dim * heads == dim:
            changes["head_dim"] = None
        return self.model_copy(update=changes)

    def infeasibilities(self, dim: int, heads: int, tokens: int) -> Iterator[Infeasible]:  # noqa: ARG002
        head_dim = self.head_dim or dim // heads
        if self.rotary and head_dim % 2:
            rule, way = "must be even for rotary positions, which pair channels", "use an even one, or rotary: false"
            yield Infeasible("model.attention.head_dim", rule, str(head_dim), way, before_got="; ")


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError("must be odd")
    return value


class SparseAttention(_Projected):
    """Softmax over a band of `context` tokens around each token."""

    kind: Literal["sparse"]
    context: Annotated[
        int,
        Field(ge=1, le=999_999, json_schema_extra={"not": {"multipleOf": 2}}, description="Tokens in a window; odd."),
        AfterValidator(_odd),
        Rule("an odd whole number, 1 to 999999 (the token itself, and the same number on each side)"),
    ] = 49

    def canonical(self, dim: int, heads: int, tokens: int) -> ViTAttention:  # noqa: ARG002
        """Limit the value to the distance between the first and the last token."""
        return self.model_copy(update={"context": capped(self, "context", 2 * tokens - 1)})


class HybridAttention(_ConvNNAttentionFields):
    """Softmax attention and ConvNN attention side by side, fused by a 1x1 convolution."""

    kind: Literal["hybrid"]
    lam: Lambda

    def canonical(self, dim: int, heads: int, tokens: int) -> ViTAttention:
        """Return attention with the fusing convolution alone if ConvNN has no channels."""
        return super().canonical(dim, heads, tokens) if self.channels(dim) else HybridAttention(kind="hybrid", lam=0.0)

    def key_content(self, dim: int) -> dict[str, Any]:
        """Replace lambda by the channels that it results in."""
        content = super().key_content(dim)
        del content["lam"]
        return {**content, "convnn_channels": [self.channels(dim)]}

    def parameters(self, dim: int, heads: int) -> int:  # noqa: ARG002
        ours = self.channels(dim)
        other = 3 * dim**2 + dim * (dim - ours) if ours < dim else 0
        other += self.convnn_parameters(dim) + dim * ours if ours else 0
        return other + dim**2 + dim  # and the fusing 1x1 convolution

    def flops(self, dim: int, heads: int, tokens: int) -> int | None:  # noqa: ARG002
        ours = self.channels(dim)
        other = 3 * dim + dim - ours + 2 * tokens if ours < dim else 0
        return 2 * tokens * dim * (other + dim) + (self.convnn_flops(dim, tokens, ours) if ours else 0)

    def kept(self, dim: int, heads: int, tokens: int) -> int | None:
        ours = self.channels(dim)
        other = super().kept(dim, heads, tokens) or 0 if ours < dim else 0
        return other + tokens * dim + (self.convnn_kept(dim, tokens) if ours else 0)


ATTENTIONS = Registry(
    ViTAttention,
    "kind",
    SoftmaxAttention,
    ConvNNAttention,
    KVTAttention,
    LocalAttention,
    SparseAttention,
    HybridAttention,
)
register_attention = ATTENTIONS.register
"""Register another kind of attention, a subclass of ViTAttention, so that files can use it."""


@register_model
class ViTTiny(ModelConfig):
    """ViT-Tiny as published: 12 blocks of width 192, one head, images resized to 224, no norm before the classifier."""

    small: ClassVar = {"depth": 2, "mlp_width": 96, "dim": 48}
    name: Literal["vit_tiny"]
    image_size: Annotated[
        int, Field(ge=1, le=1024, description="Side of the resized images, in pixels."), Decides(every)
    ] = 224
    patch_size: Annotated[
        int, Field(ge=1, le=1024, description="Side of the square patch of one token, in pixels."), Decides(every)
    ] = 16
    depth: Annotated[int, Field(ge=1, le=256, description="Number of blocks.")] = 12
    dim: Annotated[int, Field(ge=1, le=8192, description="Channels per token."), Decides(every)] = 192
    heads: Annotated[int, Field(ge=1, le=256, description="Attention heads; must divide dim."), Decides(every)] = 1
    mlp_width: Annotated[int, Field(ge=1, le=65536, description="Hidden units of the MLP in each block.")] = 768
    dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout after each part of a block.")] = 0.1
    attention_dropout: Annotated[float, Field(ge=0, lt=1, description="Dropout inside the attention.")] = 0.1
    attention: Annotated[ViTAttention, OneOf(ATTENTIONS)]

    @property
    def mixing_layer(self) -> ViTAttention:
        return self.attention

    def tokens(self) -> int:
        """Return the number of tokens in every block."""
        return vit_tokens(self.image_size, self.patch_size)

    def factory(self, classes: int) -> Factory:
        own = self.model_dump(exclude={"name", "attention", "dim"})
        arguments = {"num_classes": classes, "width": self.dim, **own, **self.attention.arguments()}
        return Factory("convnn.models.vit:vit_tiny", arguments)

    def infeasibilities(self) -> Iterator[Infeasible]:
        if self.image_size % self.patch_size:
            nearest = max(1, round(self.image_size / self.patch_size)) * self.patch_size
            rule, way = f"must divide image_size ({self.image_size})", f"the nearest image_size that fits is {nearest}"
            yield Infeasible("model.patch_size", rule, str(self.patch_size), way)
        elif not self.attention.fits_heads(self.dim, self.heads):
            rule = f"must divide dim ({self.dim})"
            yield Infeasible("model.heads", rule, str(self.heads), "heads: 1 always fits")
        else:
            yield from self.attention.infeasibilities(self.dim, self.heads, self.tokens())

    def canonical(self) -> Self:
        return self.model_copy(update={"attention": self.attention.canonical(self.dim, self.heads, self.tokens())})

    def key_content(self) -> dict[str, Any]:
        return {**super().key_content(), "attention": self.attention.key_content(self.dim)}

    def parameters(self, classes: int) -> int:
        dim = self.dim
        patches = 3 * self.patch_size**2 * dim + dim + 2 * dim + dim  # with their norm, and the class token
        block = 4 * dim + 2 * dim * self.mlp_width + self.mlp_width + dim
        block += self.attention.parameters(dim, self.heads)
        return patches + self.depth * block + dim * classes + classes

    def activations(self) -> int:
        """Return the numbers that both norms, the MLP's layers and its activation read, over all blocks."""
        return int(self.depth * self.tokens() * (3 * self.dim + 2 * self.mlp_width))

    def flops(self, classes: int) -> int | None:
        tokens, dim = self.tokens(), self.dim
        perceptrons = 4 * self.depth * tokens * dim * self.mlp_width
        ends = 2 * dim * ((tokens - 1) * 3 * self.patch_size**2 + classes)
        mixing = self.attention.flops(dim, self.heads, tokens)
        return None if mixing is None else ends + perceptrons + self.depth * mixing

    def kept(self, classes: int) -> list[Kept] | None:  # noqa: ARG002
        """Estimate what norms, projections and the MLP read in every block, and a byte for each dropout mask entry."""
        tokens, dim, wide = self.tokens(), self.dim, self.mlp_width
        mixing = self.attention.kept(dim, self.heads, tokens)
        if mixing is None:
            return None
        image, blocks = 3 * self.image_size**2, self.depth * (mixing + tokens * (4 * dim + (2 * dim + wide) // 4))
        perceptrons = Kept(self.depth * tokens * 2 * wide, tokens * wide)
        return [Kept(image, image), Kept(blocks + 3 * tokens * dim, tokens * dim), perceptrons]
