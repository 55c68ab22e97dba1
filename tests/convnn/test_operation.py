"""The default path against the definition, in values and gradients, on ragged sizes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from convnn import naive, operation, selection
from convnn.aggregation import gather_aggregate, gather_rows, one_hot_aggregate, sums_at_once, sums_by_rank
from convnn.selection import select_neighbors, top_k
from convnn.similarity import neighbor_similarity, pairwise_similarity

SIMILARITIES = ["cosine", "dot", "euclidean"]
Case = tuple[dict[str, Tensor | None], dict[str, Any]]


def tensors(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Inputs of the operation: every option, sizes from 1 to a few primes."""
    batch, queries, candidates = draw(st.sampled_from([1, 2, 3])), draw(st.integers(1, 13)), draw(st.integers(2, 17))
    compared, channels, out = draw(st.integers(1, 7)), draw(st.integers(2, 7)), draw(st.integers(1, 5))
    k = draw(st.integers(1, candidates - 1))
    seed = draw(st.integers(0, 2**16))
    depthwise, first = draw(st.booleans()), draw(st.booleans())
    inputs: dict[str, Tensor | None] = {
        "query": tensors(batch, queries, compared, seed=seed),
        "key": tensors(batch, candidates, compared, seed=seed + 1),
        "value": tensors(batch, candidates, channels, seed=seed + 2),
        "weight": tensors(channels if depthwise else out, 1 if depthwise else channels, k, seed=seed + 3),
        "bias": tensors(channels if depthwise else out, seed=seed + 4) if draw(st.booleans()) else None,
    }
    own = None
    if first:
        position = torch.randint(-1, candidates, (queries,), generator=torch.Generator().manual_seed(seed))
        among = bool((position >= 0).all())
        value = None if among and draw(st.booleans()) else tensors(batch, queries, channels, seed=seed + 5)
        score = draw(st.sampled_from([0.0, 1.0])) if draw(st.booleans()) else tensors(batch, queries, seed=seed + 6)
        own = naive.SelfNeighbor(score, position, value)
    similarity, softmax = draw(st.sampled_from(SIMILARITIES)), draw(st.booleans())
    return inputs, {"k": k, "similarity": similarity, "softmax": softmax, "own": own}


def outcome(convolve: Callable[..., Tensor], case: Case) -> list[Tensor]:
    """The output, and the gradients of everything that has one."""
    inputs, options = case
    leaves = {name: None if x is None else x.clone().requires_grad_() for name, x in inputs.items()}
    own = options["own"]
    if own is not None:
        parts = {
            name: x.clone().requires_grad_()
            for name, x in own._asdict().items()
            if isinstance(x, Tensor) and x.is_floating_point()
        }
        own = own._replace(**parts)
        leaves |= {f"own {name}": x for name, x in parts.items()}
    y = convolve(**{name: leaves[name] for name in inputs}, **(options | {"own": own}))
    y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape))
    used = [x for x in leaves.values() if x is not None]
    return [y.detach(), *(torch.zeros_like(x) if x.grad is None else x.grad for x in used)]


@settings(max_examples=120, deadline=None)
@given(cases())
def test_the_default_path_is_the_definition_in_values_and_gradients(case: Case) -> None:
    for ours, theirs in zip(
        outcome(operation.convolve_neighbors, case), outcome(naive.convolve_neighbors, case), strict=True
    ):
        torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(cases(), st.integers(1, 40))
def test_a_block_of_any_size_gives_the_same_numbers(case: Case, limit: int) -> None:
    whole = outcome(operation.convolve_neighbors, case)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("convnn.selection.SCORES_AT_ONCE", limit)
        patch.setattr("convnn.aggregation.NUMBERS_AT_ONCE", limit)
        patch.setattr("convnn.aggregation.ROWS_AT_ONCE", 1)
        for ours, theirs in zip(outcome(operation.convolve_neighbors, case), whole, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("softmax", [False, True])
def test_the_definition_is_the_papers_token_by_token(similarity: str, softmax: bool) -> None:
    x, weight, bias = tensors(7, 5), tensors(3, 5, 4, seed=1), tensors(3, seed=2)
    y = naive.convolve_neighbors(x[None], x[None], x[None], weight, bias, k=4, similarity=similarity, softmax=softmax)  # type: ignore[arg-type]
    for i, q in enumerate(x):
        scores = {
            "cosine": torch.stack([q @ t / (q.norm() * t.norm()) for t in x]),
            "dot": torch.stack([q @ t / 5**0.5 for t in x]),
            "euclidean": torch.stack([-(q - t).square().sum().sqrt() for t in x]),
        }
        best = scores[similarity].topk(4)
        rho = best.values.softmax(0) if softmax else torch.ones(4, dtype=torch.float64)
        total = bias.clone()
        for rank in range(4):
            total += weight[:, :, rank] @ (rho[rank] * x[best.indices[rank]])
        torch.testing.assert_close(y[0, i], total)


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


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_pairs_and_lists_are_scored_alike(similarity: Any) -> None:
    query, key = tensors(2, 7, 5), tensors(2, 11, 5, seed=1)
    everyone = torch.arange(11).expand(2, 7, 11)
    lists = neighbor_similarity(query, gather_rows(key, everyone), similarity)
    torch.testing.assert_close(lists, pairwise_similarity(query, key, similarity))


@pytest.mark.parametrize("depthwise", [False, True])
def test_one_hot_rows_and_gathered_rows_aggregate_alike(depthwise: bool) -> None:
    value, rho = tensors(2, 11, 5), tensors(2, 7, 3, seed=1)
    weight = tensors(5 if depthwise else 4, 1 if depthwise else 5, 3, seed=2)
    neighbors = torch.randint(0, 11, (2, 7, 3), generator=torch.Generator().manual_seed(0))
    expected = one_hot_aggregate(value, neighbors, rho, weight)
    torch.testing.assert_close(gather_aggregate(value, neighbors, rho, weight), expected)


def test_the_default_path_holds_no_square_of_similarities() -> None:
    """Of 1,999 x 1,999 similarities, no tensor as large as a tenth is ever made."""
    largest = 0

    class Largest(TorchDispatchMode):
        def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            nonlocal largest
            result = func(*args, **(kwargs or {}))
            if isinstance(result, Tensor):
                largest = max(largest, result.untyped_storage().nbytes() // result.element_size())
            return result

    x = torch.randn(1, 1999, 8, requires_grad=True)
    weight = torch.randn(8, 1, 3, requires_grad=True)
    with pytest.MonkeyPatch.context() as patch, Largest():  # type: ignore[no-untyped-call]
        patch.setattr(selection, "SCORES_AT_ONCE", 2**16)
        operation.convolve_neighbors(x, x, x, weight, None, k=3).sum().backward()
    assert largest < 1999 * 1999 / 10


def test_float32_errs_at_most_twice_as_much_as_the_definition_in_float32() -> None:
    x, weight = tensors(2, 101, 16), tensors(16, 16, 5, seed=1)
    options: dict[str, Any] = {"k": 5, "similarity": "dot", "softmax": True}
    exact = naive.convolve_neighbors(x, x, x, weight, None, **options)
    single = [x.float(), x.float(), x.float(), weight.float(), None]
    fast, slow = (m.convolve_neighbors(*single, **options).double() for m in (operation, naive))
    assert (fast - exact).abs().max() <= 2 * (slow - exact).abs().max() + 1e-6


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


def test_both_ways_to_sum_over_ranks_agree() -> None:
    x, weights, ranks = tensors(7, 4, 5), tensors(7, 4, seed=1), tensors(4, 5, seed=2)
    expected = (x * weights.unsqueeze(-1)).sum(0), (x * ranks).sum(-1)
    for sums in (sums_by_rank, sums_at_once):
        torch.testing.assert_close(sums(x, weights, ranks), expected)
