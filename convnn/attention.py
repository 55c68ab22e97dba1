"""Attention layers on sequences: softmax attention, ConvNN attention and the baselines of the paper's Table 2.

Every layer maps `(B, N, D)` to `(B, N, D)`, or to `out_dim` channels, with linear projections without bias
(paper 6.2, 11). Multiple heads share the D channels; the published runs used one head.

Shapes: B batch, N tokens, D channels, H heads, R candidate tokens, K neighbors.
"""

from typing import Literal, Self

import torch
from torch import Tensor, nn

from convnn import naive, operation
from convnn.aggregation import (
    AGGREGATIONS,
    RHOS,
    Aggregation,
    Rho,
    pointwise,
    rank_convolution,
    unit_weights,
)
from convnn.candidates import CandidateRule, own_positions, own_tokens, require_enough, require_self_score
from convnn.checks import require_count, require_input, require_one_of, require_rate
from convnn.dropout import dropout
from convnn.geometry import CandidateKind, WhenTooFew
from convnn.naive import SelfNeighbor
from convnn.similarity import SIMILARITIES, Similarity, neighbor_similarity
from convnn.softmax import attend, banded, rotate

Implementation = Literal["default", "naive"]


class ProjectedAttention(nn.Module):
    """Base of every attention layer: linear projections and heads.

    Args:
        dim: D.
        heads: H.
        head_dim: Channels per head; D / H if `None`.
        out_dim: Channels of the output; D if `None`.
        dropout: Dropout rate on the attention weights during training.

    Raises:
        ValueError: If a number is out of range, or the heads do not divide D.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        *,
        head_dim: int | None = None,
        out_dim: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        require_count("dim", dim)
        require_count("heads", heads)
        require_count("out_dim", dim if out_dim is None else out_dim)
        require_rate("dropout", dropout)
        if head_dim is None and dim % heads:
            raise ValueError(f"heads must divide dim, got {dim=}, {heads=}; use heads=1, or set head_dim.")
        require_count("head_dim", dim // heads if head_dim is None else head_dim)
        self.dim, self.heads, self.dropout = dim, heads, dropout
        self.head_dim = dim // heads if head_dim is None else head_dim
        inner = heads * self.head_dim
        self.query = nn.Linear(dim, inner, bias=False)
        self.key = nn.Linear(dim, inner, bias=False)
        self.value = nn.Linear(dim, inner, bias=False)
        self.out = nn.Linear(inner, dim if out_dim is None else out_dim, bias=False)

    def split(self, projected: Tensor) -> Tensor:
        """Reshape `(B, N, H * d)` to `(B, H, N, d)`."""
        heads: Tensor = projected.unflatten(-1, (self.heads, self.head_dim))
        return heads.transpose(1, 2)

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Mix the values of every head, `(B, H, N, d)` each."""
        raise NotImplementedError

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, N, D)` to `(B, N, out_dim)`."""
        require_input(x, "(B, N, D)", self.dim, 2, self.query.weight)
        heads = self.attend(self.split(self.query(x)), self.split(self.key(x)), self.split(self.value(x)))
        mixed: Tensor = self.out(heads.transpose(1, 2).flatten(2))
        return mixed


class SelfAttention(ProjectedAttention):
    """Softmax attention over all tokens (paper 3.3.2, Eq. 2)."""

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Apply scaled dot-product attention."""
        return attend(query, key, value, self.dropout if self.training else 0.0)


class KVTAttention(ProjectedAttention):
    """Softmax attention over only the k largest scores of each token (paper 5.2; KVT, cited there).

    Args:
        dim: D.
        heads: H.
        k: Scores kept per token.
        out_dim: Channels of the output; D if `None`.
        dropout: Dropout rate on the attention weights during training.
    """

    def __init__(
        self, dim: int, heads: int = 1, *, k: int = 9, out_dim: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__(dim, heads, out_dim=out_dim, dropout=dropout)
        require_count("k", k)
        self.k = k

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Keep the k largest scores of each row, apply softmax to them, and set the others to zero."""
        tokens = key.shape[-2]
        if self.k > tokens:
            raise ValueError(f"k must be 1 to {tokens} (tokens of the sequence), got k={self.k}; use a smaller k.")
        scores = (query * self.head_dim**-0.5) @ key.mT  # (B, H, N, N)
        best = scores.topk(self.k, dim=-1)
        weights = dropout(best.values.softmax(dim=-1), self.dropout, training=self.training)
        return torch.zeros_like(scores, dtype=weights.dtype).scatter(-1, best.indices, weights).to(value.dtype) @ value

    def extra_repr(self) -> str:
        """Return the options, for `print(layer)`."""
        return f"k={self.k}, heads={self.heads}"


class LocalAttention(ProjectedAttention):
    """Softmax attention over the tokens within a distance of `window`, with rotary positions.

    Source: the local attention of the paper's Table 2. The published runs gave their single head 64 of the 192
    channels. Here there are no keys beyond the ends of the sequence. The published layer padded the sequence with zero
    keys that took part in the softmax.

    Args:
        dim: D.
        heads: H.
        window: Largest distance of attended tokens, to each side.
        head_dim: Channels per head; D / H if `None`. Must be even for the rotation.
        rotary: Whether queries and keys are rotated by their position, base 10,000, as in the published layer, in
            addition to the model's own position encoding.
        out_dim: Channels of the output; D if `None`.
        dropout: Dropout rate on the attention weights during training.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        *,
        window: int = 128,
        head_dim: int | None = None,
        rotary: bool = True,
        out_dim: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim, heads, head_dim=head_dim, out_dim=out_dim, dropout=dropout)
        require_count("window", window)
        if rotary and self.head_dim % 2:
            raise ValueError(f"rotary positions pair channels: head_dim must be even, got head_dim={self.head_dim}.")
        self.window, self.rotary = window, rotary

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Apply scaled dot-product attention within a band."""
        if self.rotary:
            query, key = rotate(query), rotate(key)
        return banded(query, key, value, self.window, self.dropout if self.training else 0.0)

    def extra_repr(self) -> str:
        """Return the options, for `print(layer)`."""
        return f"window={self.window}, heads={self.heads}, head_dim={self.head_dim}, rotary={self.rotary}"


class SparseAttention(ProjectedAttention):
    """Softmax attention over a band of `context` tokens around each token.

    Source: the sparse attention of the paper's Table 2 in its local mode. Here dropout is off in evaluation mode; in
    the published layer it stayed on.

    Args:
        dim: D.
        heads: H.
        context: Attended tokens: the token itself and the same number on each side; odd.
        out_dim: Channels of the output; D if `None`.
        dropout: Dropout rate on the attention weights during training.
    """

    def __init__(
        self, dim: int, heads: int = 1, *, context: int = 49, out_dim: int | None = None, dropout: float = 0.0
    ) -> None:
        super().__init__(dim, heads, out_dim=out_dim, dropout=dropout)
        require_count("context", context)
        if context % 2 == 0:
            raise ValueError(
                f"context must be odd (the token itself, and the same number on each side), got {context=}."
            )
        self.context = context

    def attend(self, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        """Apply scaled dot-product attention within a band."""
        return banded(query, key, value, self.context // 2, self.dropout if self.training else 0.0)

    def extra_repr(self) -> str:
        """Return the options, for `print(layer)`."""
        return f"context={self.context}, heads={self.heads}"


class ConvNNAttention(ProjectedAttention):
    """ConvNN with query, key, value and output projections: each token convolves the values of its k nearest tokens.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1, 5.2, 6.2 and 14. The defaults are those of the paper. The
    published runs used `similarity='dot'` and, with random or evenly spread candidates, `self_first=True` with
    `self_score=1.0`. With multiple heads, each head chooses its own neighbors, and the convolution runs over all D
    channels.

    Args:
        dim: D.
        heads: H.
        k: Neighbors per token.
        similarity: `cosine`, `dot` (divided by the square root of the head's channels) or `euclidean`.
        rho: `softmax` weights neighbors by the softmax of their similarities; `constant` weights all by 1.
        candidates: Candidate tokens of the sequence: `all`, `random`, `strided` or `even`.
        r: Number of `random` or `even` candidates.
        stride: Stride of `strided` candidates.
        when_too_few: If the sequence has fewer tokens than requested: `error`, or take `all`.
        fixed_at_evaluation: Whether evaluation always uses the same `random` candidates.
        self_first: Whether each token is its own first neighbor; the others are then chosen by similarity.
        self_score: Score of the token itself in the softmax if it comes first: a number, or `None` for its similarity.
        aggregation: `depthwise` (starts with weights of 1), `depthwise_separable` or `standard`.
        out_dim: Channels of the output; D if `None`.
        dropout: Dropout rate on the convolved neighbors, before the output projection.

    Raises:
        ValueError: If an option is unknown, out of range or contradicts another.
    """

    def __init__(
        self,
        dim: int,
        heads: int = 1,
        *,
        k: int = 9,
        similarity: Similarity = "cosine",
        rho: Rho = "softmax",
        candidates: CandidateKind = "all",
        r: int | None = None,
        stride: int | None = None,
        when_too_few: WhenTooFew = "error",
        fixed_at_evaluation: bool = False,
        self_first: bool = False,
        self_score: float | None = None,
        aggregation: Aggregation = "depthwise",
        out_dim: int | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__(dim, heads, out_dim=out_dim, dropout=dropout)
        require_one_of("similarity", similarity, SIMILARITIES)
        require_one_of("rho", rho, RHOS)
        require_one_of("aggregation", aggregation, AGGREGATIONS)
        require_self_score(self_score, self_first=self_first, softmax=rho == "softmax")
        if candidates == "lattice":
            raise ValueError("candidates='lattice' needs a two-dimensional map; use candidates='even' for a sequence.")
        self.rule = CandidateRule(
            candidates, k, r, stride, None, when_too_few=when_too_few, fixed_at_evaluation=fixed_at_evaluation
        )
        self.k = k
        self.similarity: Similarity = similarity
        self.rho: Rho = rho
        self.weighs = rho == "softmax" and k > 1  # a single neighbor has weight 1
        self.self_first, self.self_score = self_first, self_score
        self.aggregation: Aggregation = aggregation
        self.implementation: Implementation = "default"
        if aggregation == "depthwise_separable":
            self.depthwise = rank_convolution(dim, dim, k, groups=dim, bias=False)
            self.pointwise = nn.Conv1d(dim, dim, kernel_size=1, bias=False)
        elif aggregation == "depthwise":
            self.conv = unit_weights(rank_convolution(dim, dim, k, groups=dim, bias=False))
        else:
            self.conv = rank_convolution(dim, dim, k, bias=False)

    @classmethod
    def softmax_attention(cls, dim: int, tokens: int) -> Self:
        """Build softmax attention as in paper 5.2: k = n = `tokens`, softmax, a depthwise convolution fixed at 1."""
        return cls.kvt(dim, tokens)

    @classmethod
    def kvt(cls, dim: int, k: int) -> Self:
        """Build KVT attention as in paper 5.2: k < n, a depthwise convolution fixed at 1."""
        layer = cls(dim, k=k, similarity="dot")
        layer.conv.weight.requires_grad_(False)
        return layer

    def forward(self, x: Tensor, candidate_index: Tensor | None = None) -> Tensor:
        """Map `(B, N, D)` to `(B, N, out_dim)`.

        Args:
            x: The sequence.
            candidate_index: Candidates to use, `(R,)`, instead of those from the options.

        Raises:
            ValueError: If the sequence has fewer candidates than k, or fewer tokens than requested.
        """
        require_input(x, "(B, N, D)", self.dim, 2, self.query.weight)
        if candidate_index is None:
            shape = (x.shape[1],)
            candidate_index = self.rule.indices(shape, training=self.training, device=x.device)
        else:
            require_enough(candidate_index, self.k, x.shape[1])
        some = x if candidate_index is None else x.index_select(1, candidate_index)  # (B, R, D)
        position = None
        if self.self_first:
            position = own_positions(own_tokens((x.shape[1],), 0, x.device), candidate_index, x.shape[1])
        weight = self.depthwise.weight if self.aggregation == "depthwise_separable" else self.conv.weight
        convolve = (naive if self.implementation == "naive" else operation).convolve_neighbors
        query, key, own_score = self._compared(x, some, candidate_index)
        values = self.value(x if self.self_first else some)  # a token that comes first need not be a candidate
        mixed: list[Tensor] = []
        for head in range(self.heads):
            part = slice(head * self.head_dim, (head + 1) * self.head_dim)
            own, value = None, values if self.heads == 1 else values[..., part]
            if position is not None:
                own = SelfNeighbor(own_score[head], position, None if candidate_index is None else value)
                value = value if candidate_index is None else value.index_select(1, candidate_index)
            ranks = weight
            if self.heads > 1:
                ranks = weight[:, part] if self.aggregation == "standard" else weight[part]
            options = {"k": self.k, "similarity": self.similarity, "softmax": self.weighs, "own": own}
            mixed.append(convolve(query[head], key[head], value, ranks, None, **options))
        if self.heads == 1:
            (y,) = mixed
        else:
            y = torch.stack(mixed).sum(0) if self.aggregation == "standard" else torch.cat(mixed, dim=-1)
        if self.aggregation == "depthwise_separable":
            y = pointwise(y, self.pointwise)
        output: Tensor = self.out(dropout(y, self.dropout, training=self.training))
        return output

    def _compared(
        self, x: Tensor, some: Tensor, candidate_index: Tensor | None
    ) -> tuple[list[Tensor], list[Tensor], list[Tensor] | list[float]]:
        """Return queries `(B, N, d)`, keys `(B, R, d)` and the token's own score `(B, N)`, for every head.

        With one head, dot products and few candidates, x Wq (Wk c)^T is computed as x (Wq^T Wk c)^T. The few keys are
        then projected twice, and the many queries not at all.
        """
        free_score = self.self_first and self.weighs and self.self_score is None
        if candidate_index is None or free_score:
            key, query = self._by_head(self.key(x)), self._by_head(self.query(x))
            if not free_score:
                return query, key, self._fixed_score()
            pairs = zip(query, key, strict=True)
            own = [neighbor_similarity(q, k.unsqueeze(-2), self.similarity).squeeze(-1) for q, k in pairs]
            return (
                query,
                key if candidate_index is None else [every.index_select(1, candidate_index) for every in key],
                own,
            )
        projected = self.key(some)
        few = 2 * candidate_index.numel() <= x.shape[1]
        if few and self.heads == 1 and self.similarity == "dot" and self.implementation == "default":
            return [x], [projected @ self.query.weight.to(projected.dtype)], self._fixed_score()
        return self._by_head(self.query(x)), self._by_head(projected), self._fixed_score()

    def _by_head(self, projected: Tensor) -> list[Tensor]:
        """Return `(B, N, d)` for every head."""
        return [projected] if self.heads == 1 else list(self.split(projected).unbind(1))

    def _fixed_score(self) -> list[float]:
        return [0.0 if self.self_score is None else self.self_score] * self.heads

    def extra_repr(self) -> str:
        """Return the options, for `print(layer)`."""
        return (
            f"k={self.k}, similarity={self.similarity!r}, rho={self.rho!r}, candidates={self.rule.kind!r}, "
            f"r={self.rule.r}, self_first={self.self_first}, aggregation={self.aggregation!r}, heads={self.heads}"
        )
