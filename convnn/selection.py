"""The k most similar candidates of every token (paper 4.1, step 2), a bounded block of queries at a time.

Shapes: B batch, N query tokens, R candidate tokens, D channels compared, K neighbors.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from convnn.precision import full_products, without_autocast
from convnn.similarity import Similarity, ranking_products

SCORES_AT_ONCE = 2**20
"""Similarities held at once on the CPU, about what its caches hold."""

SCORES_AT_ONCE_CUDA = 2**26
"""The same on an accelerator, which needs large pieces to be busy."""

GROUPED_FROM = 192
"""Candidates from which the CPU's search for the best k goes by groups; below, sorting them all is as fast."""


def query_blocks(batch: int, queries: int, width: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Cut `(B, N)` queries into blocks of whole images, or of part of one, with at most `SCORES_AT_ONCE` scores.

    Args:
        batch: B.
        queries: N.
        width: Numbers held per query.
        device: Where they are held.
    """
    limit = SCORES_AT_ONCE if device.type == "cpu" else SCORES_AT_ONCE_CUDA
    rows = batch * queries if device.type == "meta" else max(1, limit // max(1, width))
    images, part = max(1, rows // queries), min(queries, rows)
    for image in range(0, batch, images):
        for first in range(0, queries, part):
            yield slice(image, min(batch, image + images)), slice(first, min(queries, first + part))


@torch.no_grad()
def select_neighbors(
    query: Tensor, key: Tensor, k: int, *, similarity: Similarity = "cosine", position: Tensor | None = None
) -> Tensor:
    """Find the `k` candidates most similar to each query; choosing has no gradient.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1, Eq. 5.

    Args:
        query: Query tokens, `(B, N, D)`. Scores are taken in at least float32, whatever the training precision.
        key: Candidate tokens, `(B, R, D)`.
        k: Neighbors per query.
        similarity: `cosine`, `dot` or `euclidean`.
        position: Where each query is among the candidates, `(N,)`, -1 where it is not: it does not choose itself.

    Returns:
        Indices into R, `(B, N, K)`, best first; no candidate left out is more similar than the last one kept.

    Raises:
        ValueError: If `k` is not between 1 and the number of candidates, the query itself not counted.
    """
    available = key.shape[1] - (position is not None)
    if not 0 <= k <= available:
        raise ValueError(f"k must be 0 to {available} (candidates other than the token itself), got {k=}.")
    wide = torch.promote_types(query.dtype, torch.float32)
    with without_autocast(query.device):
        left, right, offset = ranking_products(query.to(wide), key.to(wide), similarity)
        return _best(left, right, offset, k, position)[1]


def _best(left: Tensor, right: Tensor, offset: Tensor | None, k: int, position: Tensor | None) -> tuple[Tensor, Tensor]:
    """The `k` largest of each row of left @ right^T + offset, without the row's own position: values and indices."""
    batch, queries, _ = left.shape
    if k == 0:
        nothing = left.new_empty(batch, queries, 0)
        return nothing, nothing.long()
    values, indices = [], []
    space = left.new_empty(0)
    for images, part in query_blocks(batch, queries, right.shape[1], left.device):
        asking, candidates = left[images, part], right[images]
        shape = (*asking.shape[:2], candidates.shape[1])
        space = space if space.numel() else left.new_empty(math.prod(shape))  # the first block is the largest
        scores = full_products(asking, candidates.mT, out=space[: math.prod(shape)].view(shape))  # (b, n, R)
        if offset is not None:
            scores += offset[images]
        if position is not None:
            _mask_own(scores, position[part])
        best, index = top_k(scores, k)
        values.append(best)
        indices.append(index)
    if len(values) == 1:
        return values[0], indices[0]
    # blocks are whole images, or parts of one image in order: rows stay in order
    return (
        torch.cat([part.reshape(-1, k) for part in values]).view(batch, queries, k),
        torch.cat([part.reshape(-1, k) for part in indices]).view(batch, queries, k),
    )


def _mask_own(scores: Tensor, position: Tensor) -> None:
    """Set each row's own column to minus infinity, in place; rows at position -1 have none."""
    column = position.clamp_min(0).view(1, -1, 1).expand(scores.shape[0], -1, 1)
    kept = torch.where(position.view(1, -1, 1) < 0, scores.gather(-1, column), -torch.inf)
    scores.scatter_(-1, column, kept)


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """`torch.topk` along the last axis, faster on the CPU for long rows.

    The k largest lie in the k groups with the largest maxima, so only these are sorted.
    """
    length = scores.shape[-1]
    if scores.device.type != "cpu" or length < GROUPED_FROM or k * k > length:
        return scores.topk(k, dim=-1)
    size = max(2, round((length / k) ** 0.5))
    groups = length // size  # member i of group g stands at i * groups + g; the rest forms the tail
    maxima = scores[..., : size * groups].unflatten(-1, (size, groups)).amax(-2)
    best = maxima.topk(k, dim=-1, sorted=False).indices  # (..., K)
    members = torch.arange(size, device=scores.device).unsqueeze(-1) * groups
    index = (best.unsqueeze(-2) + members).flatten(-2)  # (..., size * K)
    if size * groups < length:
        tail = torch.arange(size * groups, length, device=scores.device)
        index = torch.cat([index, tail.expand(*index.shape[:-1], -1)], dim=-1)
    values, place = scores.gather(-1, index).topk(k, dim=-1)
    return values, index.gather(-1, place)


class _TopProducts(torch.autograd.Function):
    """The k largest of each row of query @ key^T, with gradients; no more than a block of the products is held."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, k: int, position: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        values, indices = _best(query, key, None, k, position)
        ctx.save_for_backward(query, key, indices)
        ctx.mark_non_differentiable(indices)
        return values, indices

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor, _: Tensor) -> tuple[Tensor, Tensor, None, None]:  # noqa: ANN401
        query, key, indices = ctx.saved_tensors
        grad_query, grad_key = torch.empty_like(query), torch.zeros_like(key)
        batch, queries, _d = query.shape
        for images, part in query_blocks(batch, queries, key.shape[1], query.device):
            rows = indices[images, part]
            # a row of mostly zeros costs less in a matrix product than its k numbers in a gather
            dense = grad.new_zeros(*rows.shape[:2], key.shape[1]).scatter_(-1, rows, grad[images, part])
            grad_query[images, part] = dense @ key[images]
            grad_key[images] += dense.mT @ query[images, part]
        return grad_query, grad_key, None, None


def top_products(query: Tensor, key: Tensor, k: int, position: Tensor | None) -> tuple[Tensor, Tensor]:
    """The `k` largest products of every query with the candidates, with gradients, and where they are.

    Args:
        query: `(B, N, D)`.
        key: `(B, R, D)`.
        k: Neighbors per query.
        position: As in `select_neighbors`.

    Returns:
        Products `(B, N, K)`, best first, and indices into R, `(B, N, K)`.
    """
    values, indices = _TopProducts.apply(query, key, k, position)
    return values, indices


def window_neighbors(shape: tuple[int, ...], side: int, padding: int, device: torch.device | None = None) -> Tensor:
    """The `side`-wide window around every token, in reading order: neighbors chosen by position alone.

    Source: paper 5.1: with these neighbors ConvNN is `nn.Conv1d` or `nn.Conv2d`.

    Args:
        shape: `(length,)` or `(height, width)`.
        side: Of the window, odd.
        padding: Width of the ring of zero tokens, at least half the window.
        device: Where to put them.

    Returns:
        Indices into the padded map's tokens, `(N, side ** len(shape))`, for its N own tokens.
    """
    padded = [length + 2 * padding for length in shape]
    windows = torch.arange(torch.Size(padded).numel(), device=device).view(padded)
    for axis, length in enumerate(shape):
        start = padding - side // 2
        windows = windows.narrow(axis, start, length + side - 1).unfold(axis, side, 1)
    return windows.reshape(-1, side ** len(shape))
