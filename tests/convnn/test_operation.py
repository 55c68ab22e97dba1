"""Compare the default path with the definition, in values and gradients, on uneven sizes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from convnn import naive, operation, selection
from tests.convnn.tensors import SIMILARITIES, tensors
from tests.convnn.ties import lowest_index_first

Case = tuple[dict[str, Tensor | None], dict[str, Any]]


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw inputs of the operation: every option, sizes from 1 to small primes."""
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
    """Return the output, and the gradients of all inputs that have one."""
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
    with lowest_index_first():
        found = outcome(operation.convolve_neighbors, case)
    for ours, theirs in zip(found, outcome(naive.convolve_neighbors, case), strict=True):
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


def test_the_default_path_never_stores_all_similarities() -> None:
    """With 1,999 x 1,999 similarities, no tensor reaches a tenth of that size."""
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


def test_the_float32_error_is_at_most_twice_that_of_the_definition() -> None:
    x, weight = tensors(2, 101, 16), tensors(16, 16, 5, seed=1)
    options: dict[str, Any] = {"k": 5, "similarity": "dot", "softmax": True}
    exact = naive.convolve_neighbors(x, x, x, weight, None, **options)
    single = [x.float(), x.float(), x.float(), weight.float(), None]
    fast, slow = (m.convolve_neighbors(*single, **options).double() for m in (operation, naive))
    assert (fast - exact).abs().max() <= 2 * (slow - exact).abs().max() + 1e-6
