from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from convnn.attention import (
    ConvNNAttention,
    Implementation,
    KVTAttention,
    LocalAttention,
    ProjectedAttention,
    SelfAttention,
    SparseAttention,
)
from convnn.softmax import rotate


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


def adopt(layer: ProjectedAttention, other: ProjectedAttention) -> None:
    for name in ("query", "key", "value", "out"):
        getattr(layer, name).load_state_dict(getattr(other, name).state_dict())


@st.composite
def options(draw: st.DrawFn) -> dict[str, Any]:
    """Draw options of ConvNNAttention for 13 tokens of width 6."""
    found: dict[str, Any] = {"k": draw(st.integers(1, 4)), "heads": draw(st.sampled_from([1, 2, 3]))}
    found["candidates"] = draw(st.sampled_from(["all", "random", "strided", "even"]))
    if found["candidates"] in ("random", "even"):
        found["r"] = draw(st.integers(found["k"], 13))
    if found["candidates"] == "strided":
        found["stride"] = draw(st.integers(1, 3))
    free: dict[str, list[Any]] = {
        "similarity": ["cosine", "dot", "euclidean"],
        "rho": ["constant", "softmax"],
        "aggregation": ["standard", "depthwise", "depthwise_separable"],
        "self_first": [True, False],
    }
    for name, values in free.items():
        found[name] = draw(st.sampled_from(values))
    if found["self_first"] and found["rho"] == "softmax":
        found["self_score"] = draw(st.sampled_from([None, 1.0]))
    return found


@settings(max_examples=80, deadline=None)
@given(options(), st.integers(0, 99))
def test_convnn_attention_is_its_definition_in_values_and_gradients(chosen: dict[str, Any], seed: int) -> None:
    torch.manual_seed(seed)
    layer, x, results = ConvNNAttention(6, **chosen).double(), randn(2, 13, 6), []
    for implementation in get_args(Implementation):
        layer.implementation = implementation
        layer.zero_grad()
        torch.manual_seed(1)
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape))
        results.append([y, leaf.grad, *(torch.zeros(1) if p.grad is None else p.grad for p in layer.parameters())])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


def test_attending_to_every_token_is_softmax_attention() -> None:
    layer = ConvNNAttention.softmax_attention(6, tokens=13).double()
    x = randn(2, 13, 6)
    query, key, value = layer.query(x), layer.key(x), layer.value(x)
    expected = layer.out(F.scaled_dot_product_attention(query, key, value))
    torch.testing.assert_close(layer(x), expected)
    assert not layer.conv.weight.requires_grad


@pytest.mark.parametrize("heads", [1, 2, 3])
def test_multiple_heads_attending_to_every_token_are_softmax_attention(heads: int) -> None:
    layer, other = ConvNNAttention(6, heads, k=13, similarity="dot").double(), SelfAttention(6, heads).double()
    adopt(layer, other)
    x = randn(2, 13, 6)
    torch.testing.assert_close(layer(x), other(x))


@pytest.mark.parametrize("heads", [1, 3])
def test_attending_to_k_tokens_is_kvt_attention(heads: int) -> None:
    layer = ConvNNAttention.kvt(6, k=4) if heads == 1 else ConvNNAttention(6, heads, k=4, similarity="dot")
    other = KVTAttention(6, heads, k=4).double()
    adopt(layer.double(), other)
    x = randn(2, 13, 6)
    torch.testing.assert_close(layer(x), other(x))


def test_kvt_attention_to_every_token_is_softmax_attention() -> None:
    layer, other = KVTAttention(6, 2, k=13).double(), SelfAttention(6, 2).double()
    adopt(layer, other)
    x = randn(2, 13, 6)
    torch.testing.assert_close(layer(x), other(x))


@pytest.mark.parametrize("layer", [LocalAttention(6, 2, window=3, rotary=False), SparseAttention(6, 2, context=7)])
def test_local_and_sparse_attention_use_a_band(layer: ProjectedAttention) -> None:
    layer.double()
    x = randn(2, 13, 6)
    query, key, value = (layer.split(p(x)) for p in (layer.query, layer.key, layer.value))
    expected = torch.empty_like(x)
    for i in range(13):
        near = slice(max(0, i - 3), i + 4)
        mixed = F.scaled_dot_product_attention(query[:, :, i : i + 1], key[:, :, near], value[:, :, near])
        expected[:, i] = layer.out(mixed.transpose(1, 2).flatten(1))
    torch.testing.assert_close(layer(x), expected)


def test_a_local_window_over_all_tokens_is_softmax_attention_for_any_length() -> None:
    layer, other = LocalAttention(6, window=128, rotary=False).double(), SelfAttention(6).double()
    adopt(layer, other)
    x = randn(2, 101, 6)  # the published layer pads to 128 and lets 27 zero keys take part
    torch.testing.assert_close(layer(x), other(x))


def test_rotary_scores_depend_on_the_distance_alone() -> None:
    query, key = randn(1, 6), randn(1, 6)
    near = rotate(query, 3) @ rotate(key, 1).mT
    far = rotate(query, 53) @ rotate(key, 51).mT
    torch.testing.assert_close(near, far)
    torch.testing.assert_close(rotate(query, 5).norm(), query.norm())


KINDS = [SelfAttention, KVTAttention, LocalAttention, SparseAttention, ConvNNAttention]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("heads", [1, 3])
def test_every_kind_keeps_the_sequence_and_gives_every_parameter_a_gradient(kind: Any, heads: int) -> None:
    layer = kind(6, heads, out_dim=5)
    x = torch.randn(2, 13, 6, requires_grad=True)
    y = layer(x)
    assert y.shape == (2, 13, 5)
    y.square().sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())


@pytest.mark.parametrize("kind", KINDS)
def test_dropout_acts_in_training_but_not_in_evaluation(kind: Any) -> None:
    layer, plain = kind(6, dropout=0.5), kind(6)
    plain.load_state_dict(layer.state_dict())
    x = torch.randn(2, 13, 6)
    assert not torch.equal(layer(x), layer(x))
    torch.testing.assert_close(layer.eval()(x), plain(x))


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_linear_projections_without_bias(kind: Any) -> None:
    assert not any(name.endswith("bias") for name, _ in kind(6).named_parameters())


def test_the_token_itself_has_its_own_score_or_a_fixed_one() -> None:
    fixed = ConvNNAttention(6, k=1, self_first=True, self_score=1.0).double()
    x = randn(2, 13, 6)
    torch.testing.assert_close(fixed(x), fixed.out(fixed.value(x)))  # softmax over one score


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heads": 4}, "heads must divide dim, got dim=6, heads=4"),
        ({"heads": 0}, "heads must be an integer, at least 1, got heads=0"),
        ({"similarity": "l2"}, "similarity must be one of"),
        ({"rho": "relu"}, "rho must be one of constant, softmax, got rho='relu'"),
        ({"candidates": "lattice"}, "use candidates='even' for a sequence"),
        ({"candidates": "even", "r": 3}, "r must be at least k"),
        ({"self_score": 1.0}, "self_score needs self_first=True"),
        ({"dropout": 1.0}, "dropout must be at least 0 and less than 1, got dropout=1.0"),
    ],
)
def test_contradicting_options_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvNNAttention(6, **options)


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (
            lambda: KVTAttention(6, k=14)(torch.randn(1, 13, 6)),
            r"k must be 1 to 13 \(tokens of the sequence\), got k=14",
        ),
        (lambda: ConvNNAttention(6, k=14)(torch.randn(1, 13, 6)), r"k must be 1 to 13 \(candidate tokens\), got k=14"),
        (lambda: SelfAttention(6)(torch.randn(1, 13, 5)), r"the input must be \(B, N, D\) with D = 6"),
        (lambda: LocalAttention(6, 2), "head_dim must be even, got head_dim=3"),
        (lambda: SparseAttention(6, context=4), r"context must be odd \(.*\), got context=4"),
    ],
)
def test_numbers_out_of_range_are_rejected(build: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        build()


@pytest.mark.parametrize("chosen", [{}, {"candidates": "random", "r": 5, "self_first": True, "self_score": 1.0}])
def test_convnn_attention_trains_in_bf16_and_compiles_without_graph_breaks(chosen: dict[str, Any]) -> None:
    layer = ConvNNAttention(6, k=4, similarity="dot", **chosen)
    x = torch.randn(2, 13, 6)
    with torch.autocast("cpu", torch.bfloat16):
        layer(x).float().sum().backward()
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
    compiled: Any = torch.compile(layer, backend="aot_eager", fullgraph=True)
    assert compiled(x).shape == x.shape
    compiled(x).sum().backward()
