"""ConvNN's default path: the results of `convnn.naive`, in less time and bounded memory.

It keeps the similarities and neighbors of only one block of queries in memory.

Shapes: B batch, N query tokens, R candidate tokens, D channels compared, C channels of the values, K neighbors,
O output channels.
"""

import torch
from torch import Tensor

from convnn.aggregation import (
    add_bias,
    add_own,
    gather_aggregate,
    gather_rows,
    one_hot_aggregate,
    one_hot_is_cheaper,
)
from convnn.naive import SelfNeighbor
from convnn.precision import without_autocast
from convnn.selection import select_neighbors, top_products
from convnn.similarity import Similarity, at_least_single, neighbor_similarity, unit_rows


def convolve_neighbors(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    weight: Tensor,
    bias: Tensor | None,
    *,
    k: int,
    similarity: Similarity = "cosine",
    softmax: bool = True,
    own: SelfNeighbor | None = None,
    neighbors: Tensor | None = None,
) -> Tensor:
    """Weight every query's k most similar candidates and convolve them.

    Arguments and result are those of `convnn.naive.convolve_neighbors`, which defines them. It is differentiable once.
    Among candidates of equal similarity, any may be chosen. If rho is constant, given `neighbors` replace the search.
    """
    position = None if own is None else own.position
    chosen = k if own is None else k - 1
    rho = None
    if softmax:
        scores, neighbors = _scores(query, key, chosen, similarity, position)
        if own is not None:
            first = torch.as_tensor(own.score, dtype=scores.dtype, device=scores.device)
            scores = torch.cat([first.expand(scores.shape[:2]).unsqueeze(-1), scores], dim=-1)
        rho = scores.softmax(dim=-1).to(value.dtype)
    elif neighbors is None:
        neighbors = select_neighbors(query, key, chosen, similarity=similarity, position=position)
    return _aggregate(value, neighbors, rho, weight, bias, own)


def convolve_chosen(value: Tensor, neighbors: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve neighbors that were chosen by other means, all with weight 1.

    Args:
        value: `(B, R, C)`.
        neighbors: Indices into R, `(N, K)`.
        weight: `(O, C, K)`, or depthwise `(C, 1, K)`.
        bias: `(O,)` or `None`.

    Returns:
        `(B, N, O)`.
    """
    return gather_aggregate(value, neighbors.expand(value.shape[0], -1, -1), None, weight, bias)


def _scores(
    query: Tensor, key: Tensor, k: int, similarity: Similarity, position: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Return the scores of the `k` best candidates, with gradients, in at least float32, and their indices."""
    wide = at_least_single(query.dtype)
    with without_autocast(query.device):
        query, key = query.to(wide), key.to(wide)
        if similarity == "euclidean":  # a distance computed from products loses precision near 0
            neighbors = select_neighbors(query, key, k, similarity=similarity, position=position)
            return neighbor_similarity(query, gather_rows(key, neighbors), similarity), neighbors
        if similarity == "cosine":
            query, key = unit_rows(query), unit_rows(key)
        else:
            key = key / query.shape[-1] ** 0.5
        return top_products(query, key, k, position)


def _aggregate(  # noqa: PLR0917
    value: Tensor, neighbors: Tensor, rho: Tensor | None, weight: Tensor, bias: Tensor | None, own: SelfNeighbor | None
) -> Tensor:
    batch, queries, _ = neighbors.shape
    candidates, channels, k = value.shape[1], value.shape[2], weight.shape[-1]
    cheap = one_hot_is_cheaper(queries, candidates, channels, k, depthwise=weight.shape[1] != channels)
    if cheap and own is not None and own.value is not None and k > 1:
        other = one_hot_aggregate(value, neighbors, None if rho is None else rho[..., 1:], weight[..., 1:])
        return add_bias(add_own(other, own.value, weight[..., 0], None if rho is None else rho[..., 0]), bias)
    if own is not None:
        first = own.position
        if own.value is not None:
            first = torch.arange(queries, device=value.device) + candidates
            value = torch.cat([value, own.value], dim=1)
        neighbors = torch.cat([first.view(1, -1, 1).expand(batch, -1, 1), neighbors], dim=-1)
    if cheap and (own is None or own.value is None):
        return add_bias(one_hot_aggregate(value, neighbors, rho, weight), bias)
    return gather_aggregate(value, neighbors, rho, weight, bias)
