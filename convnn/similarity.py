"""How alike two tokens are (paper 4.1, step 1). Larger is more alike, for every kind.

Shapes: B batch, N query tokens, M candidate tokens, C channels, K neighbors.
"""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

Similarity = Literal["cosine", "euclidean"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)


def pairwise_similarity(query: Tensor, key: Tensor, kind: Similarity) -> Tensor:
    """Order every candidate by its likeness to every query.

    `cosine` is the cosine in [-1, 1], 0 with an all-zero token. `euclidean` is minus the squared distance:
    the same order as minus the distance, without a root per pair.

    Args:
        query: Query tokens, `(B, N, C)`.
        key: Candidate tokens, `(B, M, C)`.
        kind: `cosine` or `euclidean`.

    Returns:
        `(B, N, M)`.
    """
    if kind == "cosine":
        return (F.normalize(query, dim=-1) @ F.normalize(key, dim=-1).mT).clamp(-1.0, 1.0)
    squares = key.square().sum(-1).unsqueeze(-2)  # (B, 1, M)
    norms = query.square().sum(-1, keepdim=True)  # (B, N, 1)
    return torch.baddbmm(squares.expand(-1, query.shape[1], -1), query, key.mT, beta=-1, alpha=2) - norms


def neighbor_similarity(query: Tensor, neighbors: Tensor, kind: Similarity) -> Tensor:
    """Score the chosen neighbors of every query, with gradients: the `s_i` that rho weighs (paper 4.1).

    `cosine` in [-1, 1]; `euclidean` is minus the distance (its gradient at distance 0 is 0).

    Args:
        query: Query tokens, `(B, N, C)`.
        neighbors: The neighbors' rows, `(B, N, K, C)`.
        kind: `cosine` or `euclidean`.

    Returns:
        `(B, N, K)`.
    """
    if kind == "cosine":
        return F.cosine_similarity(query.unsqueeze(-2), neighbors, dim=-1, eps=1e-12).clamp(-1.0, 1.0)
    distance: Tensor = torch.linalg.vector_norm(query.unsqueeze(-2) - neighbors, dim=-1)
    return -distance
