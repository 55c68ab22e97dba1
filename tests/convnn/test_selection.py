from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convnn import operation
from convnn.selection import select_neighbors, top_k
from convnn.similarity import pairwise_similarity
from tests.convnn.tensors import SIMILARITIES, tensors


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_no_candidate_left_out_is_more_similar_than_the_last_one_kept(similarity: Any) -> None:
    query, key = tensors(3, 13, 5), tensors(3, 211, 5, seed=1)
    chosen = select_neighbors(query, key, 4, similarity=similarity)
    scores = pairwise_similarity(query, key, similarity)
    kept = scores.gather(-1, chosen)
    left = scores.scatter(-1, chosen, -torch.inf).amax(-1)
    assert (kept[..., -1] >= left).all()
    assert (kept.diff(dim=-1) <= 0).all()


@settings(max_examples=40, deadline=None)
@given(st.integers(192, 700), st.integers(1, 13), st.integers(0, 99))
def test_the_grouped_search_finds_what_sorting_finds(length: int, k: int, seed: int) -> None:
    scores = torch.randint(0, 500, (3, length), generator=torch.Generator().manual_seed(seed)).float()  # with ties
    values, indices = top_k(scores, k)
    assert torch.equal(values, scores.topk(k).values)
    assert torch.equal(values, scores.gather(-1, indices))
    assert all(len(set(row.tolist())) == k for row in indices)


def test_more_neighbors_than_candidates_are_refused() -> None:
    x = torch.randn(1, 4, 3)
    with pytest.raises(ValueError, match=r"k must be 0 to 4 .*, got k=5"):
        select_neighbors(x, x, 5)


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("compiled", [True, False])
def test_neighbors_are_chosen_with_all_digits_though_training_rounds_to_tf32(
    monkeypatch: pytest.MonkeyPatch, *, softmax: bool, compiled: bool
) -> None:
    x, weight = torch.randn(2, 9, 5), torch.randn(3, 5, 4)
    seen: list[str] = []
    bmm = torch.bmm

    def products(*operands: Tensor, out: Tensor) -> Tensor:
        seen.append(torch.get_float32_matmul_precision())
        return bmm(*operands, out=out)

    def convolve(x: Tensor) -> Tensor:
        return operation.convolve_neighbors(x, x, x, weight, None, k=4, softmax=softmax)

    expected = convolve(x)
    called: Any = torch.compile(convolve, backend="aot_eager", fullgraph=True) if compiled else convolve
    monkeypatch.setattr(torch, "bmm", products)
    torch.set_float32_matmul_precision("high")
    try:
        found = called(x)
        after = torch.get_float32_matmul_precision()
    finally:
        torch.set_float32_matmul_precision("highest")
    assert (seen, after) == (["highest"], "high")
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)
