"""ConvNN as the paper defines it: the reference for testing every faster path.

It keeps all similarities and all gathered neighbors in memory. Ties go to the candidate with the lowest index; in the
published code, any of them may win. Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1, Eqs. 3-6, and
Algorithm 1.

Shapes: B batch, N query tokens, R candidate tokens, D channels compared, C channels of the values, K neighbors,
O output channels.
"""

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from convnn.similarity import Similarity, pairwise_similarity


class SelfNeighbor(NamedTuple):
    """Makes every token its own first neighbor, so that only the other k - 1 are chosen by similarity.

    The published image layers always do this, the published attention layers with random or evenly spread candidates.

    Attributes:
        score: Score of the token itself in the softmax: `(B, N)`, or one number for all.
        position: Each query's position among the candidates, `(N,)`; -1 if it is not a candidate.
        value: The queries' own values, `(B, N, C)`; `None` if every query is a candidate.
    """

    score: Tensor | float
    position: Tensor
    value: Tensor | None


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
) -> Tensor:
    """Weight every query's k most similar candidates and convolve them: Algorithm 1 after its projections.

    Args:
        query: `(B, N, D)`, one row per query token.
        key: `(B, R, D)`, one row per candidate.
        value: `(B, R, C)`, the candidates' values.
        weight: Weight of the Conv1d with kernel and stride k: `(O, C, K)`, or depthwise `(C, 1, K)`.
        bias: `(O,)` or `None`.
        k: Neighbors per query.
        similarity: `cosine` (the paper's), `dot` or `euclidean`.
        softmax: Whether rho is softmax; otherwise it is constant 1.
        own: If given, every token is its own first neighbor.

    Returns:
        `(B, N, O)`.
    """
    batch, count, _ = query.shape
    # Compute similarities (Eq. 3)
    scores = pairwise_similarity(query, key, similarity)  # (B, N, R)
    # Select neighbors (Eqs. 4 and 5)
    if own is None:
        kmax, kargmax = _topk(scores, k)
    else:
        itself = own.position.unsqueeze(-1) == torch.arange(key.shape[1], device=key.device)
        kmax, kargmax = _topk(scores.masked_fill(itself, -torch.inf), k - 1)
        score = torch.as_tensor(own.score, dtype=kmax.dtype, device=kmax.device).expand(batch, count)
        kmax = torch.cat([score.unsqueeze(-1), kmax], dim=-1)
        first = own.position
        if own.value is not None:
            first = torch.arange(count, device=key.device) + value.shape[1]
            value = torch.cat([value, own.value], dim=1)
        kargmax = torch.cat([first.view(1, -1, 1).expand(batch, -1, 1), kargmax], dim=-1)
    rho = torch.softmax(kmax, dim=-1) if softmax else torch.ones_like(kmax)
    # Gather and modulate (Eq. 6)
    channels = value.shape[-1]
    v = value.mT.unsqueeze(-1).expand(-1, -1, -1, k)  # (B, C, R, K)
    index = kargmax.unsqueeze(1).expand(-1, channels, -1, -1)  # (B, C, N, K)
    x_nn = rho.unsqueeze(1).to(value.dtype) * torch.gather(v, dim=2, index=index)
    # Aggregate: a Conv1d of kernel and stride k
    y = F.conv1d(x_nn.flatten(2), weight, bias, stride=k, groups=channels // weight.shape[1])
    return y.mT


def _topk(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Apply `torch.topk`, with ties in order of index."""
    kmax, kargmax = scores.sort(dim=-1, descending=True, stable=True)
    return kmax[..., :k], kargmax[..., :k]


def convolve_chosen(value: Tensor, neighbors: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Convolve neighbors that were chosen by position (paper 5.1), all with weight 1.

    Args:
        value: `(B, R, C)`.
        neighbors: Indices into R in order of rank, `(N, K)`.
        weight: `(O, C, K)`, or depthwise `(C, 1, K)`.
        bias: `(O,)` or `None`.

    Returns:
        `(B, N, O)`.
    """
    x_nn = value[:, neighbors].permute(0, 3, 1, 2)  # (B, C, N, K)
    y = F.conv1d(x_nn.flatten(2), weight, bias, stride=weight.shape[-1], groups=value.shape[-1] // weight.shape[1])
    return y.mT
