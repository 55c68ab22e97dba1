"""The k most similar candidates of every token (paper 4.1, step 2).

Shapes: B batch, N query tokens, M tokens, R candidate tokens, C channels, K neighbors.
"""

import torch
from torch import Tensor

from convnn.similarity import Similarity, pairwise_similarity

SCORES_AT_ONCE = 2**24
"""Scores held at once by the search; a larger batch is searched image by image, in groups."""


@torch.no_grad()
def select_neighbors(
    tokens: Tensor,
    query_index: Tensor,
    k: int,
    *,
    similarity: Similarity = "cosine",
    candidate_index: Tensor | None = None,
    self_first: bool = True,
) -> Tensor:
    """Find the `k` tokens most similar to each query token; choosing has no gradient.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1; `self_first` as in the published runs, where a token
    is always its own first neighbor, whether or not it was drawn as a candidate.

    Args:
        tokens: All tokens, `(B, M, C)`. Scores are taken in at least float32, whatever the training precision.
        query_index: The tokens that ask, `(N,)`, indices into M.
        k: Neighbors per query.
        similarity: `cosine` or `euclidean`.
        candidate_index: The tokens that may be chosen, `(R,)`, indices into M; all if `None`.
        self_first: Put the query itself first, and choose only the others by similarity.

    Returns:
        Indices into M, `(B, N, K)`, best first; no candidate left out is more similar than the last one kept.

    Raises:
        ValueError: If `k` is not between 1 and the number of candidates.
    """
    count = tokens.shape[1] if candidate_index is None else candidate_index.numel()
    if not 1 <= k <= count:
        raise ValueError(f"k must be 1 to {count} (candidate tokens), got {k=}; take more candidates or a wider ring.")
    with torch.autocast(tokens.device.type, enabled=False):
        wide = tokens.to(torch.promote_types(tokens.dtype, torch.float32))
        group = max(1, SCORES_AT_ONCE // (query_index.numel() * count))
        found = [
            _select(part, query_index, k, similarity, candidate_index, self_first=self_first)
            for part in wide.split(group)
        ]
    return found[0] if len(found) == 1 else torch.cat(found)


def _select(
    tokens: Tensor,
    query_index: Tensor,
    k: int,
    similarity: Similarity,
    candidate_index: Tensor | None,
    *,
    self_first: bool,
) -> Tensor:
    keys = tokens if candidate_index is None else tokens[:, candidate_index]
    scores = pairwise_similarity(tokens[:, query_index], keys, similarity)  # (B, N, R)
    names = torch.arange(tokens.shape[1], device=tokens.device) if candidate_index is None else candidate_index
    if not self_first:
        return names[scores.topk(k, dim=-1).indices]
    scores.masked_fill_(query_index.unsqueeze(-1) == names, -torch.inf)
    itself = query_index.view(1, -1, 1).expand(tokens.shape[0], -1, 1)
    return torch.cat([itself, names[scores.topk(k - 1, dim=-1).indices]], dim=-1)


def window_neighbors(height: int, width: int, side: int, padding: int, device: torch.device | None = None) -> Tensor:
    """The `side` x `side` window around every token, in reading order: neighbors chosen by position alone.

    Source: paper 5.1: with these neighbors ConvNN is `nn.Conv2d`.

    Returns:
        Indices into the padded map's tokens, `(N, side * side)`, for the N = height * width inner tokens.
    """
    grid = torch.arange((height + 2 * padding) * (width + 2 * padding), device=device)
    padded = grid.view(height + 2 * padding, width + 2 * padding)
    reach = side // 2
    inner = padded[padding - reach :, padding - reach :]
    windows = inner.unfold(0, side, 1).unfold(1, side, 1)[:height, :width]
    return windows.reshape(height * width, side * side)
