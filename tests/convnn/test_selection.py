import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numba
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from convnn import largest as largest_module
from convnn import operation
from convnn.largest import MOST, largest, largest_products, makes_products
from convnn.selection import select_neighbors
from convnn.similarity import pairwise_similarity
from tests.convnn.tensors import SIMILARITIES, tensors
from tests.convnn.ties import first_largest, tied

THREADS = st.sampled_from([1, 3])


@contextlib.contextmanager
def threads_of_torch(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_no_other_candidate_is_more_similar_than_the_last_neighbor(similarity: Any) -> None:
    query, key = tensors(3, 13, 5), tensors(3, 211, 5, seed=1)
    chosen = select_neighbors(query, key, 4, similarity=similarity)
    scores = pairwise_similarity(query, key, similarity)
    kept = scores.gather(-1, chosen)
    left = scores.scatter(-1, chosen, -torch.inf).amax(-1)
    assert (kept[..., -1] >= left).all()
    assert (kept.diff(dim=-1) <= 0).all()


@settings(max_examples=120, deadline=None)
@given(
    st.integers(1, 1500), st.integers(1, 40), st.integers(0, 99), st.sampled_from([2, 40, 9000]), st.booleans(), THREADS
)
def test_the_search_equals_sorting_with_ties_to_the_first(  # noqa: PLR0917
    length: int, k: int, seed: int, kinds: int, without_own: bool, threads: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(-kinds, kinds, (3, 37, length), generator=generator).float()
    k = min(k, length - without_own)
    if not k:
        return
    own = torch.randint(-1, length, (37,), generator=generator) if without_own else None
    expected = first_largest(drawn, k, own)
    with threads_of_torch(threads):
        found = largest(drawn / 7, k, own)
    assert torch.equal(found[0], expected[0] / 7)
    assert k > MOST or torch.equal(found[1], expected[1])
    assert k <= MOST or torch.equal(found[0], (drawn / 7).gather(-1, found[1]))


@settings(max_examples=60, deadline=None)
@given(
    st.integers(2, 1500),
    st.integers(1, 4),
    st.integers(1, 9),
    st.integers(0, 99),
    st.booleans(),
    st.booleans(),
    THREADS,
)
def test_the_search_on_unstored_products_equals_the_search_on_stored_ones(  # noqa: PLR0917
    length: int, channels: int, k: int, seed: int, with_offset: bool, without_own: bool, threads: int
) -> None:
    generator = torch.Generator().manual_seed(seed)
    left, right = (torch.randint(-9, 9, (3, n, channels), generator=generator).float() for n in (37, length))
    offset = torch.randint(-9, 9, (3, 1, length), generator=generator).float() if with_offset else None
    own = torch.randint(-1, length, (37,), generator=generator) if without_own else None
    k = min(k, length - 1)
    scores = left @ right.mT + (0 if offset is None else offset)  # exact
    assert makes_products(left, k)
    with threads_of_torch(threads):
        found = largest_products(left, right, offset, k, own)
    for one, other in zip(found, first_largest(scores, k, own), strict=True):
        assert torch.equal(one, other)


def test_numbers_of_every_size_are_distinguished_to_the_last_bit() -> None:
    one = torch.tensor([1.0, -1.0, 3e38, -3e38, 1e-45, -1e-45, 0.0, 1e-38])
    scores = torch.cat([one, one.nextafter(torch.tensor(9e38).clamp_max(3.4e38)), one.nextafter(-torch.tensor(3.4e38))])
    values, indices = largest(scores.view(1, 1, -1), len(scores))
    assert values.flatten().tolist() == sorted(scores.tolist(), reverse=True)
    assert torch.equal(scores[indices.flatten()], values.flatten())


def test_zeros_have_no_sign_even_if_denormal_numbers_are_flushed() -> None:
    scores = torch.zeros(1, 3, 64)
    scores[0, 1, :2] = -0.0
    for flush in (False, True):
        torch.set_flush_denormal(flush)  # if the processor supports it
        try:
            _, indices = largest(scores, 3)
        finally:
            torch.set_flush_denormal(False)
        assert indices.tolist() == [3 * [[0, 1, 2]]]


@pytest.mark.parametrize("bad", [torch.nan, -torch.nan, torch.inf, -torch.inf])
@pytest.mark.parametrize("length", [37, 641])
def test_non_finite_numbers_give_valid_distinct_places(bad: float, length: int) -> None:
    scores = torch.randn(1, 70, length)
    scores[:, ::2] = bad
    scores[:, 1::4, ::3] = bad
    _, indices = largest(scores, 5)
    assert ((indices >= 0) & (indices < length)).all()
    assert all(len(set(row.tolist())) == 5 for row in indices[0])


@pytest.fixture
def compiled_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Return an empty folder for the compiled search, which every test process shares otherwise."""
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path))
    largest_module._search.cache_clear()
    yield tmp_path
    largest_module._search.cache_clear()


def test_a_damaged_compiled_search_is_compiled_again(compiled_in: Path) -> None:
    def found() -> list[int]:
        return largest(torch.arange(9.0).view(1, 1, 9), 2)[1].flatten().tolist()

    assert found() == [8, 7]
    kept = [file for file in compiled_in.rglob("*") if file.is_file()]
    assert kept
    for file in kept:
        file.write_bytes(file.read_bytes()[:-100])
    largest_module._search.cache_clear()  # like a new process
    assert found() == [8, 7]


def test_without_numba_the_result_is_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key = tensors(3, 40, 3), tensors(3, 211, 3, seed=1)
    own = torch.arange(-1, 39)
    query, key = query.float(), key.float()
    expected = select_neighbors(query, key, 6, position=own)
    monkeypatch.setattr("convnn.largest._search", lambda: None)
    assert torch.equal(select_neighbors(query, key, 6, position=own), expected)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("candidates", [23, 211])
def test_ties_may_go_to_any_candidate_but_to_none_twice(similarity: Any, candidates: int) -> None:
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


def test_more_neighbors_than_candidates_are_rejected() -> None:
    x = torch.randn(1, 4, 3)
    with pytest.raises(ValueError, match=r"k must be 0 to 4 .*, got k=5"):
        select_neighbors(x, x, 5)


@pytest.mark.parametrize("softmax", [True, False])
@pytest.mark.parametrize("compiled", [True, False])
def test_neighbors_are_chosen_in_full_precision_even_in_tf32_training(
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
