"""Similarity of two tokens (paper 4.1, step 1). For every kind, larger means more similar.

Shapes: B batch, N query tokens, R candidate tokens, D channels compared, K neighbors.
"""

from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from convnn.precision import without_autocast

Similarity = Literal["cosine", "dot", "euclidean"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)


def pairwise_similarity(query: Tensor, key: Tensor, kind: Similarity) -> Tensor:
    """Compare every query with every candidate: the matrix S, in which the k largest of each row are the neighbors.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1, Eq. 3 (`cosine`). The published attention layers used
    `dot`, the product divided by sqrt(D) of Eq. 2. `euclidean`, minus the distance, is an option in the published code.

    Args:
        query: Query tokens, `(B, N, D)`.
        key: Candidate tokens, `(B, R, D)`.
        kind: `cosine` in [-1, 1], 0 with an all-zero token; `dot`; or `euclidean`, at most 0.

    Returns:
        `(B, N, R)`.
    """
    if kind == "cosine":
        query, key = F.normalize(query, dim=-1), F.normalize(key, dim=-1)
    if kind != "euclidean":
        product: Tensor = query @ key.mT
        return product if kind == "cosine" else product / query.shape[-1] ** 0.5
    distance: Tensor = torch.cdist(query, key, compute_mode="donot_use_mm_for_euclid_dist")
    return -distance


def neighbor_similarity(query: Tensor, neighbors: Tensor, kind: Similarity) -> Tensor:
    """Compare every query with its own list of tokens: the same numbers as `pairwise_similarity`, pair by pair.

    Args:
        query: Query tokens, `(B, N, D)`.
        neighbors: The tokens to compare with, `(B, N, K, D)`.
        kind: As in `pairwise_similarity`.

    Returns:
        `(B, N, K)`.
    """
    if kind == "cosine":
        query, neighbors = F.normalize(query, dim=-1), F.normalize(neighbors, dim=-1)
    if kind != "euclidean":
        product = (neighbors @ query.unsqueeze(-1)).squeeze(-1)
        return product if kind == "cosine" else product / query.shape[-1] ** 0.5
    apart: Tensor = torch.linalg.vector_norm(query.unsqueeze(-2) - neighbors, dim=-1)
    return -apart


class _Unit(torch.autograd.Function):
    """Rows divided by their lengths, with a third of the operations of autograd."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor) -> Tensor:  # noqa: ANN401
        length = torch.linalg.vector_norm(rows, dim=-1, keepdim=True).clamp_min_(SHORTEST)
        unit: Tensor = rows / length
        ctx.save_for_backward(unit, length)
        return unit

    @staticmethod
    @torch.autograd.function.once_differentiable
    def backward(ctx: Any, grad: Tensor) -> Tensor:  # noqa: ANN401
        unit, length = ctx.saved_tensors
        along = (grad.unsqueeze(-2) @ unit.unsqueeze(-1)).squeeze(-1)
        across: Tensor = torch.addcmul(grad, unit, along, value=-1).div_(length)
        return across


SHORTEST = 1e-12
"""Lower limit of the length by which rows are divided."""


def unit_rows(rows: Tensor) -> Tensor:
    """Compute `F.normalize(rows, dim=-1)`; differentiable once."""
    unit: Tensor = _Unit.apply(rows)
    return unit


@torch.no_grad()
def directions(rows: Tensor) -> Tensor:
    """Return unit rows in at least float32, without a gradient; their products have the order of their cosines."""
    with without_autocast(rows.device):
        return unit_rows(rows.to(at_least_single(rows.dtype)))


def at_least_single(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which similarities are computed."""
    return torch.float32 if dtype.itemsize < torch.float32.itemsize else dtype


def ranking_products(query: Tensor, key: Tensor, kind: Similarity) -> tuple[Tensor, Tensor, Tensor | None]:
    """Turn a similarity into one matrix product that ranks every query's candidates in the same order.

    Terms that depend only on the query do not change the order of its candidates: the scale for `dot`, and |q|^2 in
    -|q - k|^2 = 2 q.k - |k|^2 - |q|^2.

    Returns:
        `left` `(B, N, D)`, `right` `(B, R, D)` and `offset` `(B, 1, R)` or `None`: the order is that of
        left @ right^T + offset.
    """
    if kind == "cosine":
        return unit_rows(query), unit_rows(key), None
    if kind == "dot":
        return query, key, None
    return query, key, key.square().sum(-1).mul_(-0.5).unsqueeze(-2)
