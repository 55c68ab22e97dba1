"""Equally similar candidates: in the definition ties go to the lowest index, in the default path to any of them."""

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor

from convnn import naive
from convnn.similarity import Similarity, pairwise_similarity

LAST_BITS = 4
"""Similarities that differ by at most this many units in the last place count as equal."""


def tied(query: Tensor, key: Tensor, k: int, similarity: Similarity, position: Tensor | None = None) -> Tensor:
    """Return which queries could have other neighbors, or the same in another order, `(B, N)`."""
    scores = pairwise_similarity(query, key, similarity)
    if position is not None:
        itself = position.unsqueeze(-1) == torch.arange(key.shape[1], device=key.device)
        scores = scores.masked_fill(itself, -torch.inf)
    best = scores.topk(min(k + 1, scores.shape[-1]), dim=-1).values
    apart = best[..., :-1] - best[..., 1:]
    return (apart <= LAST_BITS * torch.finfo(scores.dtype).eps * best[..., :-1].abs().clamp_min(1)).any(-1)


@contextlib.contextmanager
def lowest_index_first() -> Iterator[None]:
    """Let ties in the default path go to the lowest index, for tests that compare everything else."""

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convnn.selection.makes_products", lambda *_: False)
        patch.setattr("convnn.selection.largest", first_largest)
        yield


def first_largest(scores: Tensor, k: int, own: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Return the k largest of every row, except the number at its own place, by sorting; ties go to the first."""
    if own is not None:
        scores = scores.masked_fill(own.unsqueeze(-1) == torch.arange(scores.shape[-1]), -torch.inf)
    values, indices = scores.sort(dim=-1, descending=True, stable=True)
    return values[..., :k], indices[..., :k]


@contextlib.contextmanager
def watched() -> Iterator[list[Tensor]]:
    """Collect the tied queries of each call of the definition."""
    found: list[Tensor] = []
    whole = naive.convolve_neighbors

    def watch(query: Tensor, key: Tensor, *arguments: Any, **options: Any) -> Tensor:
        own = options.get("own")
        chosen = options["k"] - (own is not None)
        if chosen:
            position = None if own is None else own.position
            found.append(tied(query.detach(), key.detach(), chosen, options["similarity"], position))
        return whole(query, key, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(naive, "convolve_neighbors", watch)
        yield found
