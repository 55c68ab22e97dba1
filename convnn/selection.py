"""The k most similar candidates of every token (paper 4.1, step 2), in blocks of bounded size.

Shapes: B batch, N query tokens, R candidate tokens, D channels compared, K neighbors.
"""

import math
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from convnn.constants import constant
from convnn.largest import largest, largest_products, makes_products
from convnn.precision import full_products, without_autocast
from convnn.similarity import Similarity, at_least_single, ranking_products

SCORES_AT_ONCE = 5 * 2**18
"""Similarities in memory at the same time on the CPU, about its cache size: those of a 32 x 32 image with ring."""

SCORES_AT_ONCE_CUDA = 2**26
"""The same on an accelerator, which needs large blocks to be fully used."""


def query_blocks(batch: int, queries: int, width: int, device: torch.device) -> Iterator[tuple[slice, slice]]:
    """Split `(B, N)` queries into blocks of whole images, or parts of one, with at most `SCORES_AT_ONCE` scores.

    Args:
        batch: B.
        queries: N.
        width: Numbers per query.
        device: Device of the numbers.
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
    """Find the `k` candidates most similar to each query, without a gradient.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1, Eq. 5.

    Args:
        query: Query tokens, `(B, N, D)`. Scores are computed in at least float32, in any training precision.
        key: Candidate tokens, `(B, R, D)`.
        k: Neighbors per query.
        similarity: `cosine`, `dot` or `euclidean`.
        position: Each query's position among the candidates, `(N,)`, -1 if it is not one. A query never selects itself.

    Returns:
        Indices into R, `(B, N, K)`, best first. No other candidate is more similar than the last one.

    Raises:
        ValueError: If `k` is not between 0 and the number of candidates, not counting the query itself.
    """
    available = key.shape[1] - (position is not None)
    if not 0 <= k <= available:
        raise ValueError(f"k must be 0 to {available} (candidates other than the token itself), got {k=}.")
    wide = at_least_single(query.dtype)
    with without_autocast(query.device):
        left, right, offset = ranking_products(query.to(wide), key.to(wide), similarity)
        return _whole([index for _, index in _best(left, right, offset, k, position)], query)


def _best(
    left: Tensor, right: Tensor, offset: Tensor | None, k: int, position: Tensor | None
) -> list[tuple[Tensor, Tensor]]:
    """Find the `k` largest of each row of left @ right^T + offset, except the row's own position: values and indices.

    They are returned by block: whole images, or parts of one image in order.
    """
    batch, queries, _ = left.shape
    if k == 0:
        none = left.new_empty(batch, queries, 0)
        return [(none, none.long())]
    candidates = right.shape[1]
    if makes_products(left, k):
        return [largest_products(left, right, offset, k, position)]
    width = -(-candidates // 8) * 8 if left.device.type == "cuda" else candidates  # products are fastest so
    if width > candidates:
        right = F.pad(right, (0, 0, 0, width - candidates))
    found: list[tuple[Tensor, Tensor]] = []
    space: Tensor | None = None
    first, *others = query_blocks(batch, queries, width, left.device)
    for images, part in (first, *others):
        asking = left[images, part]
        shape = (*asking.shape[:2], width)
        if others:
            space = left.new_empty(math.prod(shape)) if space is None else space  # the first block is the largest
        there = None if space is None else space[: math.prod(shape)].view(shape)
        scores = full_products(asking, right[images].mT, out=there)  # (b, n, width)
        if offset is not None:
            scores[..., :candidates] += offset[images]
        if width > candidates:
            scores[..., candidates:] = -torch.inf
        found.append(largest(scores, k, None if position is None else position[part]))
    return found


def _whole(parts: list[Tensor], query: Tensor) -> Tensor:
    """Join the blocks to `(B, N, K)`."""
    if len(parts) == 1:
        return parts[0]
    k = parts[0].shape[-1]
    return torch.cat([part.reshape(-1, k) for part in parts]).view(*query.shape[:2], k)


class _TopProducts(torch.autograd.Function):
    """The k largest of each row of query @ key^T, with gradients, with one block of products in memory at a time."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, k: int, position: Tensor | None) -> tuple[Tensor, Tensor]:  # noqa: ANN401
        best = _best(query, key, None, k, position)
        values, indices = _whole([part for part, _ in best], query), _whole([part for _, part in best], query)
        ctx.save_for_backward(query, key, indices)
        ctx.mark_non_differentiable(indices)
        ctx.set_materialize_grads(False)
        return values, indices

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor | None, _: None) -> tuple[Tensor | None, Tensor | None, None, None]:  # noqa: ANN401
        if grad is None:
            return None, None, None, None
        query, key, indices = ctx.saved_tensors
        batch, queries, _d = query.shape
        first, *others = query_blocks(batch, queries, key.shape[1], query.device)
        if not others:
            return *_through(grad, query, key, indices), None, None
        grad_query, grad_key = torch.empty_like(query), torch.zeros_like(key)
        for images, part in (first, *others):
            block = images, part
            grad_query[block], of_key = _through(grad[block], query[block], key[images], indices[block])
            grad_key[images] += of_key
        return grad_query, grad_key, None, None


def _through(grad: Tensor, query: Tensor, key: Tensor, indices: Tensor) -> tuple[Tensor, Tensor]:
    """Return the gradients of a block's queries and keys from those of its best products."""
    # a matrix product with mostly zeros is cheaper than gathering k numbers per row
    dense = grad.new_zeros(*indices.shape[:2], key.shape[1]).scatter_(-1, indices, grad)
    return dense @ key, dense.mT @ query


def top_products(query: Tensor, key: Tensor, k: int, position: Tensor | None) -> tuple[Tensor, Tensor]:
    """Return the `k` largest products of every query with the candidates, with gradients, and their indices.

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


@constant
def window_neighbors(shape: tuple[int, ...], side: int, padding: int, device: torch.device | None = None) -> Tensor:
    """Return the window of width `side` around every token, in reading order: neighbors by position alone.

    Source: paper 5.1. With these neighbors ConvNN is `nn.Conv1d` or `nn.Conv2d`.

    Args:
        shape: `(length,)` or `(height, width)`.
        side: Width of the window, odd.
        padding: Width of the ring of zero tokens, at least half the window.
        device: Device of the result.

    Returns:
        Indices into the padded map's tokens, `(N, side ** len(shape))`, for its N own tokens.
    """
    padded = [length + 2 * padding for length in shape]
    windows = torch.arange(torch.Size(padded).numel(), device=device).view(padded)
    for axis, length in enumerate(shape):
        start = padding - side // 2
        windows = windows.narrow(axis, start, length + side - 1).unfold(axis, side, 1)
    return windows.reshape(-1, side ** len(shape))
