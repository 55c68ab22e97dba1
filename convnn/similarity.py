"""How alike two tokens are (paper 4.1, step 1). Larger is more alike, for every kind.

Shapes: B batch, N query tokens, R candidate tokens, D channels compared, K neighbors.
"""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

Similarity = Literal["cosine", "dot", "euclidean"]
SIMILARITIES: tuple[Similarity, ...] = get_args(Similarity)


def pairwise_similarity(query: Tensor, key: Tensor, kind: Similarity) -> Tensor:
    """Every query against every candidate: the matrix S, whose k largest of a row are the neighbors.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1, Eq. 3 (`cosine`). The published attention layers used
    `dot`, the product over sqrt(D) of Eq. 2; `euclidean`, minus the distance, stands beside it in the published code.

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
    """Every query against its own list of tokens: the same numbers as `pairwise_similarity`, pair by pair.

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


def ranking_products(query: Tensor, key: Tensor, kind: Similarity) -> tuple[Tensor, Tensor, Tensor | None]:
    """Turn a similarity into one matrix product that puts every query's candidates in the same order.

    A query's candidates keep their order under what only depends on the query: the scale for `dot`,
    its square in -|q - k|^2 = 2 q.k - |k|^2 - |q|^2.

    Returns:
        `left` `(B, N, D)`, `right` `(B, R, D)` and `offset` `(B, 1, R)` or `None`: the order is that of
        left @ right^T + offset.
    """
    if kind == "cosine":
        return F.normalize(query, dim=-1), F.normalize(key, dim=-1), None
    if kind == "dot":
        return query, key, None
    return query, key, key.square().sum(-1).mul_(-0.5).unsqueeze(-2)
