from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convnn import operation
from convnn.largest import grouping, lowest, top_k_of_groups
from convnn.selection import select_neighbors
from convnn.similarity import pairwise_similarity
from tests.convnn.tensors import SIMILARITIES, tensors
from tests.convnn.ties import tied


def top_k(scores: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """As a search does it: rows as wide as their groups want them."""
    size, width = grouping(scores.shape[-1], k, scores.device)
    padded = torch.nn.functional.pad(scores, (0, width - scores.shape[-1]), value=lowest(scores.dtype))
    return top_k_of_groups(padded, k, size)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_no_candidate_left_out_is_more_similar_than_the_last_one_kept(similarity: Any) -> None:
    query, key = tensors(3, 13, 5), tensors(3, 211, 5, seed=1)
    chosen = select_neighbors(query, key, 4, similarity=similarity)
    scores = pairwise_similarity(query, key, similarity)
    kept = scores.gather(-1, chosen)
    left = scores.scatter(-1, chosen, -torch.inf).amax(-1)
    assert (kept[..., -1] >= left).all()
    assert (kept.diff(dim=-1) <= 0).all()


@settings(max_examples=80, deadline=None)
@given(st.integers(1, 700), st.integers(1, 13), st.integers(0, 99), st.sampled_from([torch.float32, torch.float64]))
def test_the_search_finds_what_sorting_finds(length: int, k: int, seed: int, dtype: torch.dtype) -> None:
    k = min(k, length)
    drawn = torch.randint(-250, 250, (3, length), generator=torch.Generator().manual_seed(seed))  # with ties
    scores = drawn.to(dtype) / 7
    values, indices = top_k(scores, k)
    assert torch.equal(values, scores.topk(k).values)
    assert torch.equal(values, scores.gather(-1, indices))
    assert all(len(set(row.tolist())) == k for row in indices)


def test_numbers_of_every_size_are_told_apart_to_the_last_bit() -> None:
    one = torch.tensor([1.0, -1.0, 3e38, -3e38, 1e-45, -1e-45, 0.0, 1e-38])
    scores = torch.cat([one, one.nextafter(torch.tensor(9e38).clamp_max(3.4e38)), one.nextafter(-torch.tensor(3.4e38))])
    values, indices = top_k(scores.view(1, -1), len(scores))
    assert values.flatten().tolist() == sorted(scores.tolist(), reverse=True)
    assert torch.equal(scores[indices.flatten()], values.flatten())


def test_zeros_have_places_also_where_denormal_numbers_are_flushed() -> None:
    scores = torch.zeros(3, 64)
    scores[1, 5] = -0.0
    torch.set_flush_denormal(True)  # where the processor can
    try:
        _, indices = top_k(scores, 3)
    finally:
        torch.set_flush_denormal(False)
    assert indices.tolist() == 3 * [[0, 1, 2]]


def test_what_is_not_finite_names_places_that_exist() -> None:
    for bad in (torch.nan, torch.inf, -torch.inf):
        _, indices = top_k(torch.full((4, 37), bad), 5)
        assert ((indices >= 0) & (indices < 37)).all()


def test_threads_change_nothing() -> None:
    scores = torch.randn(20_000, 150)
    before = torch.get_num_threads()
    found = []
    for threads in (1, 3):
        torch.set_num_threads(threads)
        found.append(top_k(scores, 8))
    torch.set_num_threads(before)
    assert torch.equal(found[0][1], found[1][1])
    assert torch.equal(found[0][0], scores.topk(8).values)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("candidates", [23, 211])
def test_of_exactly_equal_candidates_any_is_chosen_and_none_twice(similarity: Any, candidates: int) -> None:
    generator = torch.Generator().manual_seed(candidates)
    kinds = torch.randint(-1, 2, (5, 3), generator=generator).double()  # zero tokens, mirrored tokens, equal ones
    query, key = (kinds[torch.randint(0, 5, (2, count), generator=generator)] for count in (17, candidates))
    position = torch.randint(-1, candidates, (17,), generator=generator)
    scores = pairwise_similarity(query, key, similarity)
    scores = scores.masked_fill(position.unsqueeze(-1) == torch.arange(candidates), -torch.inf)
    assert tied(query, key, 6, similarity, position).all()
    chosen = select_neighbors(query, key, 6, similarity=similarity, position=position)
    torch.testing.assert_close(scores.gather(-1, chosen), scores.sort(descending=True).values[..., :6])
    assert all(len(set(row.tolist())) == 6 for row in chosen.flatten(0, 1))


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
