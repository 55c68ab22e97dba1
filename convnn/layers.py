"""Convolutional layers: ConvNN1d and ConvNN2d, and the hybrid branches that combine them with others by lambda.

Shapes: B batch, C input channels, O output channels, S the sides of the map: `(L,)` or `(H, W)`.
"""

import functools
import math
from typing import TYPE_CHECKING, Any, Literal, Self, get_args

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn import naive, operation
from convnn.aggregation import AGGREGATIONS, RHOS, Aggregation, Rho, pointwise, rank_convolution, unit_weights
from convnn.attention import ConvNNAttention, Implementation, SelfAttention
from convnn.candidates import CandidateRule, own_positions, own_tokens, require_enough, require_self_score
from convnn.checks import require_count, require_input, require_one_of
from convnn.geometry import CandidateKind, WhenTooFew, convnn_channels, padded_tokens, patched
from convnn.naive import SelfNeighbor
from convnn.patches import coordinates, shuffle, unshuffle
from convnn.selection import select_neighbors, window_neighbors
from convnn.similarity import SIMILARITIES, Similarity, directions, neighbor_similarity

if TYPE_CHECKING:
    from convnn.remembered import Remembered

Position = Literal["none", "similarity", "both", "only"]
POSITIONS: tuple[Position, ...] = get_args(Position)
PositionScaling = Literal["none", "std"]
Projections = Literal["identity", "linear"]
Branches = Literal["convolution+convnn", "convolution+convnn_attention", "attention+convnn_attention"]


class ConvNN(nn.Module):
    """A convolution over each token's k most similar tokens instead of its spatial neighbors, on maps of any size.

    Use ConvNN1d for sequences and ConvNN2d for images; the options are the same.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1 (the operation), 4.2.1 (position), 4.2.2 (candidates),
    5.1 (convolution as a special case) and 13 (patches). Additions of the published runs to the text are options:
    `padding` adds a ring of zero tokens that are candidates but not queries, `self_first` makes each token its own
    first neighbor, and `position_scaling='std'` divides an image's features by their standard deviation before adding
    coordinates.

    Args:
        in_channels: C.
        out_channels: O.
        k: Neighbors per token.
        similarity: `cosine`, `dot` or `euclidean`.
        rho: `constant` weights every neighbor by 1; `softmax` weights them by the softmax of their similarities.
        candidates: `all` tokens; `random`: `r` of them, with a new draw at every forward pass, also in evaluation;
            `strided`: every `stride`-th along each axis; `lattice`: `side` x `side` of a map; `even`: `r` in order.
        r: Number of `random` (ring included) or `even` candidates.
        stride: Stride of `strided` candidates.
        side: Side of the `lattice`.
        when_too_few: If a map has fewer tokens than requested: `error`, or take `all`.
        fixed_at_evaluation: Whether evaluation always uses the same `random` candidates.
        padding: Width of the ring of zero tokens.
        self_first: Whether each token is its own first neighbor.
        self_score: Score of the token itself in the softmax if it comes first: a number, or `None` for its similarity.
        position: `none` compares features; `similarity` also compares coordinates from -1 to 1 over the padded map;
            `both` also convolves the coordinates; `only` takes the window around the token in reading order, which
            is `nn.Conv2d` with a kernel of side sqrt(k), or `nn.Conv1d` with kernel k.
        position_scaling: `std` divides features by one standard deviation per image before comparing.
        patch: Pixels along each axis that form one token.
        aggregation: `standard`; `depthwise`, which starts with weights of 1 and first maps values to O channels if C
            and O differ; `depthwise_separable`.
        projections: `identity`, or `linear` maps for query, key and value.

    Raises:
        ValueError: If an option is unknown, out of range or contradicts another.
    """

    axes = 0
    implementation: Implementation = "default"
    remembered: "Remembered | None" = None
    """If set, the neighbors of images are remembered on the CPU, for a layer that receives the same images again."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        k: int = 9,
        *,
        similarity: Similarity = "cosine",
        rho: Rho = "constant",
        candidates: CandidateKind = "all",
        r: int | None = None,
        stride: int | None = None,
        side: int | None = None,
        when_too_few: WhenTooFew = "error",
        fixed_at_evaluation: bool = False,
        padding: int = 1,
        self_first: bool = True,
        self_score: float | None = None,
        position: Position = "none",
        position_scaling: PositionScaling = "none",
        patch: int = 1,
        aggregation: Aggregation = "standard",
        projections: Projections = "identity",
    ) -> None:
        super().__init__()
        if self.axes == 0:
            raise ValueError("ConvNN has no fixed number of axes; build ConvNN1d or ConvNN2d.")
        require_count("in_channels", in_channels)
        require_count("out_channels", out_channels)
        require_count("padding", padding, least=0)
        require_count("patch", patch)
        require_one_of("similarity", similarity, SIMILARITIES)
        require_one_of("rho", rho, RHOS)
        require_one_of("position", position, POSITIONS)
        require_one_of("position_scaling", position_scaling, ("none", "std"))
        require_one_of("aggregation", aggregation, AGGREGATIONS)
        require_one_of("projections", projections, ("identity", "linear"))
        require_self_score(self_score, self_first=self_first, softmax=rho == "softmax")
        if candidates == "lattice" and self.axes == 1:
            raise ValueError("candidates='lattice' needs a two-dimensional map; use candidates='even' for a sequence.")
        self.rule = CandidateRule(candidates, k, r, stride, side, when_too_few, fixed_at_evaluation)
        if position == "only":
            plain = rho == "constant" and candidates == "all" and projections == "identity"
            self._require_window(k, padding, plain=plain)
        self.in_channels, self.out_channels = in_channels, out_channels
        self.k, self.padding, self.patch = k, padding, patch
        self.similarity: Similarity = similarity
        self.rho: Rho = rho
        self.weighs = rho == "softmax" and k > 1  # a single neighbor has weight 1
        self.self_first, self.self_score = self_first, self_score
        self.position: Position = position
        self.position_scaling: PositionScaling = position_scaling
        self.aggregation: Aggregation = aggregation

        pixels: int = patch**self.axes
        channels, out = in_channels * pixels, out_channels * pixels
        compared = channels + (self.axes if position in ("similarity", "both") else 0)
        valued = channels + (self.axes if position == "both" else 0)
        inner = out if aggregation == "depthwise" else valued
        self.compared_channels, self.conv_channels = compared, inner
        self.query = nn.Linear(compared, channels, bias=False) if projections == "linear" else None
        self.key = nn.Linear(compared, channels, bias=False) if projections == "linear" else None
        has_value = projections == "linear" or inner != valued
        self.value = nn.Linear(valued, inner, bias=False) if has_value else None
        if aggregation == "depthwise_separable":
            self.depthwise = rank_convolution(inner, inner, k, groups=inner, bias=False)
            self.pointwise = nn.Conv1d(inner, out, kernel_size=1)
        elif aggregation == "depthwise":
            self.conv = unit_weights(rank_convolution(out, out, k, groups=out))
        else:
            self.conv = rank_convolution(inner, out, k)

    def _require_window(self, k: int, padding: int, *, plain: bool) -> None:
        side = k if self.axes == 1 else math.isqrt(k)
        if side**self.axes != k or side % 2 == 0 or padding < side // 2:
            sizes = "1, 3, 5" if self.axes == 1 else "1, 9, 25"
            raise ValueError(
                f"position='only' needs k = {sizes}, ... and a ring of at least half the window, got {k=}, {padding=}."
            )
        if not plain:
            raise ValueError(
                "position='only' needs rho='constant', candidates='all' and projections='identity', "
                "because nothing is compared, weighted or projected."
            )

    @classmethod
    def convolution(cls, in_channels: int, out_channels: int, kernel_size: int = 3) -> Self:
        """Build the special case of paper 5.1, neighbors by position alone: `nn.Conv1d` or `nn.Conv2d`."""
        return cls(in_channels, out_channels, kernel_size**cls.axes, padding=kernel_size // 2, position="only")

    def forward(self, x: Tensor, candidate_index: Tensor | None = None) -> Tensor:
        """Map `(B, C, S)` to `(B, O, S)`.

        Args:
            x: The map.
            candidate_index: Candidates to use, `(R,)`, numbered row by row over the padded map (of patches), instead of
                those from the options.

        Raises:
            ValueError: If the map has fewer candidates than k or fewer tokens than requested, or the patch does not
                divide it.
        """
        layout = "(B, C, L)" if self.axes == 1 else "(B, C, H, W)"
        like = self.pointwise.weight if self.aggregation == "depthwise_separable" else self.conv.weight
        require_input(x, layout, self.in_channels, 1, like)
        shape = patched(tuple(x.shape[2:]), self.patch)
        if self.patch > 1:
            x = unshuffle(x, self.patch)
        by_option = candidate_index is None and self.position == "none"
        ring = 0 if by_option and not self.rule.in_ring(shape, self.padding) else self.padding
        cells = F.pad(x.movedim(1, -1), (0, 0) + (ring,) * (2 * self.axes))
        tokens = cells.flatten(1, -2).contiguous()  # (B, M, C): a neighbor is one contiguous row
        if self.position == "only":
            output = self._convolve_window(tokens, shape)
        else:
            output = self._convolve(x, tokens, shape, ring, candidate_index)
        if self.aggregation == "depthwise_separable":
            output = pointwise(output, self.pointwise)
        folded: Tensor = output.unflatten(1, shape)
        folded = folded.movedim(-1, 1)
        return shuffle(folded, self.patch) if self.patch > 1 else folded

    def _convolve(
        self, x: Tensor, tokens: Tensor, shape: tuple[int, ...], ring: int, candidate_index: Tensor | None
    ) -> Tensor:
        remembered = self.remembered if candidate_index is None and self._can_remember(x) else None
        device, count = tokens.device, tokens.shape[1]
        if candidate_index is None:
            candidate_index = self.rule.indices(shape, ring, training=self.training, device=device)
        else:
            require_enough(candidate_index, self.k, padded_tokens(shape, ring))
        queries = own_tokens(shape, ring, device)
        compared, valued = self._with_coordinates(tokens, shape)
        values = valued if self.value is None else self.value(valued)
        similarity = self.similarity
        if similarity == "cosine" and not self.weighs and self.query is None and self.implementation == "default":
            # selection has no gradient; queries and candidates are the same rows, so normalize once
            compared, similarity = directions(compared), "dot"
        asking = compared if ring == 0 else compared.index_select(1, queries)
        query = asking if self.query is None else self.query(asking)
        candidates = compared if candidate_index is None else compared.index_select(1, candidate_index)
        own = None
        if self.self_first:
            score: Tensor | float = 0.0 if self.self_score is None else self.self_score
            if self.weighs and self.self_score is None:
                itself = asking if self.key is None else self.key(asking)
                score = neighbor_similarity(query, itself.unsqueeze(-2), self.similarity).squeeze(-1)
            position = own_positions(queries, candidate_index, count)
            own = SelfNeighbor(score, position, None if candidate_index is None else values.index_select(1, queries))
        key = candidates if self.key is None else self.key(candidates)
        options: dict[str, Any] = {"k": self.k, "similarity": similarity, "softmax": self.weighs, "own": own}
        if remembered is not None:
            find = functools.partial(
                select_neighbors,
                k=self.k - self.self_first,
                similarity=similarity,
                position=None if own is None else own.position,
            )
            options["neighbors"] = remembered.neighbors(x, key.shape[1], lambda part: find(query[part], key[part]))
        convolve = (naive if self.implementation == "naive" else operation).convolve_neighbors
        some = values if candidate_index is None else values.index_select(1, candidate_index)
        output: Tensor = convolve(query, key, some, *self._ranks(), **options)
        return output

    def _can_remember(self, x: Tensor) -> bool:
        """Return whether the neighbors of `x` depend on `x` alone and are needed without their similarities."""
        follows = self.rule.kind != "random" and self.query is None and not self.weighs
        here = x.device.type == "cpu" and not torch.compiler.is_compiling()
        return follows and here and self.implementation == "default"

    def _convolve_window(self, tokens: Tensor, shape: tuple[int, ...]) -> Tensor:
        side = self.k if self.axes == 1 else math.isqrt(self.k)
        neighbors = window_neighbors(shape, side, self.padding, tokens.device)
        values = tokens if self.value is None else self.value(tokens)
        convolve = (naive if self.implementation == "naive" else operation).convolve_chosen
        output: Tensor = convolve(values, neighbors, *self._ranks())
        return output

    def _ranks(self) -> tuple[Tensor, Tensor | None]:
        """Return the weight and bias of the convolution over ranks."""
        conv = self.depthwise if self.aggregation == "depthwise_separable" else self.conv
        return conv.weight, conv.bias

    def _with_coordinates(self, tokens: Tensor, shape: tuple[int, ...]) -> tuple[Tensor, Tensor]:
        """Return the tokens to compare and the tokens to convolve, with coordinates according to `position`."""
        if self.position == "none":
            return tokens, tokens
        place = coordinates(tuple([side + 2 * self.padding for side in shape]), tokens).expand(tokens.shape[0], -1, -1)
        features = tokens
        if self.position_scaling == "std":
            # sum channel by channel as in the published layer: ties of mirrored tokens depend on its last digit
            features = tokens / (tokens.mT.contiguous().std(dim=(1, 2), keepdim=True) + 1e-6)
        compared = torch.cat([features, place], dim=-1)
        return compared, torch.cat([tokens, place], dim=-1) if self.position == "both" else tokens

    def extra_repr(self) -> str:
        """Return the options, for `print(layer)`."""
        return (
            f"k={self.k}, similarity={self.similarity!r}, rho={self.rho!r}, candidates={self.rule.kind!r}, "
            f"r={self.rule.r}, padding={self.padding}, self_first={self.self_first}, position={self.position!r}, "
            f"patch={self.patch}, aggregation={self.aggregation!r}"
        )


class ConvNN1d(ConvNN):
    """ConvNN on sequences `(B, C, L)`; see `ConvNN` for the options."""

    axes = 1


class ConvNN2d(ConvNN):
    """ConvNN on images `(B, C, H, W)`; see `ConvNN` for the options."""

    axes = 2


class OverTokens(nn.Module):
    """An attention layer on the tokens of a map: `(B, C, S)` in, `(B, O, S)` out."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor) -> Tensor:
        """Apply the attention with every position as a token."""
        mixed: Tensor = self.attention(x.flatten(2).mT)
        folded: Tensor = mixed.mT.unflatten(2, x.shape[2:])
        return folded


class HybridBranch(nn.Module):
    """Two branches side by side, fused by a 1x1 convolution; lambda is ConvNN's share of the output channels.

    Use HybridBranch1d for sequences and HybridBranch2d for images; the options are the same.

    Source: paper 4.2.3 and the published layer. ConvNN computes the first int(lambda x O) channels, and the other
    branch computes the rest. Both read all input channels. A 1x1 `fuse` with bias follows even if a branch is empty.

    Args:
        in_channels: C.
        out_channels: O.
        lam: lambda, the share of output channels from ConvNN, 0 to 1.
        kernel_size: Side of the convolution's kernel. Zero padding keeps the map's size (an even kernel gets one more
            zero at the end than at the start).
        branches: `convolution+convnn`, `convolution+convnn_attention` or `attention+convnn_attention`. Attention
            treats each position of the map as a token.
        heads: Heads of the attention branches.
        dropout: Dropout rate of the attention branches.
        **convnn: Options of the ConvNN or ConvNNAttention branch; unused if lambda leaves it no channel.

    Raises:
        ValueError: If `lam` is outside [0, 1] or another option is out of range.
    """

    axes = 0

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        lam: float,
        *,
        kernel_size: int = 3,
        branches: Branches = "convolution+convnn",
        heads: int = 1,
        dropout: float = 0.0,
        **convnn: Any,  # noqa: ANN401 - the branch checks them
    ) -> None:
        super().__init__()
        if self.axes == 0:
            raise ValueError("HybridBranch has no fixed number of axes; build HybridBranch1d or HybridBranch2d.")
        if not 0.0 <= lam <= 1.0:
            raise ValueError(f"lambda must be 0 (the other branch alone) to 1 (ConvNN alone), got {lam=}.")
        require_count("kernel_size", kernel_size)
        require_one_of("branches", branches, get_args(Branches))
        plain = nn.Conv1d if self.axes == 1 else nn.Conv2d
        n_convnn = convnn_channels(out_channels, lam)
        n_other = out_channels - n_convnn
        self.kernel_size, self.lam = kernel_size, lam
        self.convnn: nn.Module | None = None
        self.conv: nn.Module | None = None
        if n_convnn and branches == "convolution+convnn":
            self.convnn = (ConvNN1d if self.axes == 1 else ConvNN2d)(in_channels, n_convnn, **convnn)
        elif n_convnn:
            self.convnn = OverTokens(ConvNNAttention(in_channels, heads, out_dim=n_convnn, dropout=dropout, **convnn))
        if n_other and branches == "attention+convnn_attention":
            self.conv = OverTokens(SelfAttention(in_channels, heads, out_dim=n_other, dropout=dropout))
        elif n_other:
            # forward pads for an even kernel
            self.conv = plain(in_channels, n_other, kernel_size, padding=kernel_size // 2 if kernel_size % 2 else 0)
        self.fuse = plain(out_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, S)` to `(B, O, S)`."""
        outputs: list[Tensor] = []
        if self.convnn is not None:
            outputs.append(self.convnn(x))
        if isinstance(self.conv, OverTokens):
            outputs.append(self.conv(x))
        elif self.conv is not None:
            half = self.kernel_size // 2
            outputs.append(self.conv(x if self.kernel_size % 2 else F.pad(x, (half - 1, half) * self.axes)))
        fused: Tensor = self.fuse(torch.cat(outputs, dim=1) if len(outputs) > 1 else outputs[0])
        return fused


class HybridBranch1d(HybridBranch):
    """Hybrid branches on sequences `(B, C, L)`; see `HybridBranch` for the options."""

    axes = 1


class HybridBranch2d(HybridBranch):
    """Hybrid branches on images `(B, C, H, W)`; see `HybridBranch` for the options."""

    axes = 2
