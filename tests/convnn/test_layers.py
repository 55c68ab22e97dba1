from typing import Any, get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.attention import Implementation
from convnn.layers import ConvNN, ConvNN1d, ConvNN2d, HybridBranch1d, HybridBranch2d
from convnn.patches import shuffle, unshuffle


def randn(*shape: int) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64)


@st.composite
def options(draw: st.DrawFn, axes: int) -> dict[str, Any]:
    """Draw options of a ConvNN layer for maps with 5 or 7 tokens per side (10 or 14 pixels with patch 2)."""
    found: dict[str, Any] = {"k": draw(st.integers(1, 4)), "padding": draw(st.integers(0, 2))}
    kind = draw(st.sampled_from(["all", "random", "strided", "even"] + ["lattice"] * (axes - 1)))
    found["candidates"] = kind
    if kind in ("random", "even"):
        found["r"] = draw(st.integers(found["k"], 5))
    if kind == "strided":
        found |= {"stride": draw(st.integers(1, 3)), "when_too_few": "all"}
    if kind == "lattice":
        found["side"] = draw(st.integers(2, 5))
    free: dict[str, list[Any]] = {
        "similarity": ["cosine", "dot", "euclidean"],
        "rho": ["constant", "softmax"],
        "aggregation": ["standard", "depthwise", "depthwise_separable"],
        "position": ["none", "similarity", "both"],
        "position_scaling": ["none", "std"],
        "projections": ["identity", "linear"],
        "patch": [1, 2],
        "self_first": [True, False],
    }
    for name, values in free.items():
        found[name] = draw(st.sampled_from(values))
    if found["position"] != "none":
        found["padding"] = 0  # otherwise mirrored tokens of the ring tie, and either may be chosen
    if found["self_first"] and found["rho"] == "softmax":
        found["self_score"] = draw(st.sampled_from([None, 1.0]))
    return found


def check_parity(layer: ConvNN, x: Tensor) -> None:
    layer.double()
    results = []
    for implementation in get_args(Implementation):
        layer.implementation = implementation
        layer.zero_grad()
        torch.manual_seed(1)
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).view(y.shape))
        assert all(p.grad is not None for name, p in layer.named_parameters() if not name.startswith(("query", "key")))
        results.append([y, leaf.grad, *(p.grad for p in layer.parameters() if p.grad is not None)])
    for ours, theirs in zip(*results, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-8, atol=1e-8)


@settings(max_examples=60, deadline=None)
@given(options(2), st.integers(0, 99))
def test_the_image_layer_is_its_definition_in_values_and_gradients(chosen: dict[str, Any], seed: int) -> None:
    torch.manual_seed(seed)
    p = chosen["patch"]
    check_parity(ConvNN2d(3, 5, **chosen), randn(2, 3, 5 * p, 7 * p))


@settings(max_examples=40, deadline=None)
@given(options(1), st.integers(0, 99))
def test_the_sequence_layer_is_its_definition_in_values_and_gradients(chosen: dict[str, Any], seed: int) -> None:
    torch.manual_seed(seed)
    check_parity(ConvNN1d(3, 5, **chosen), randn(2, 3, 11 * chosen["patch"]))


@pytest.mark.parametrize("implementation", ["default", "naive"])
def test_choosing_by_position_is_conv2d_borders_included(implementation: Any) -> None:
    layer = ConvNN2d.convolution(5, 4, kernel_size=5).double()
    layer.implementation = implementation
    x = randn(2, 5, 7, 11)
    expected = F.conv2d(x, layer.conv.weight.reshape(4, 5, 5, 5), layer.conv.bias, padding=2)
    torch.testing.assert_close(layer(x), expected)


def test_choosing_by_position_is_conv1d_borders_included() -> None:
    layer = ConvNN1d.convolution(5, 4, kernel_size=3).double()
    x = randn(2, 5, 11)
    torch.testing.assert_close(layer(x), F.conv1d(x, layer.conv.weight, layer.conv.bias, padding=1))


def test_a_wide_ring_and_a_depthwise_kernel_are_still_a_convolution() -> None:
    layer = ConvNN2d(4, 4, 9, position="only", padding=3, aggregation="depthwise").double()
    nn.init.normal_(layer.conv.weight)
    x = randn(2, 4, 5, 7)
    expected = F.conv2d(x, layer.conv.weight.reshape(4, 1, 3, 3), layer.conv.bias, padding=1, groups=4)
    torch.testing.assert_close(layer(x), expected)


def test_the_weight_is_stored_rank_by_rank_and_looks_like_a_conv1d_weight() -> None:
    layer = ConvNN2d(5, 4, 9)
    assert layer.conv.weight.shape == (4, 5, 9)
    assert layer.conv.weight.permute(0, 2, 1).is_contiguous()
    plain = nn.Conv1d(5, 4, 9, stride=9)
    layer.load_state_dict({f"conv.{name}": x for name, x in plain.state_dict().items()})
    assert torch.equal(layer.conv.weight, plain.weight)
    assert layer.conv.weight.permute(0, 2, 1).is_contiguous()


def test_depthwise_aggregation_starts_by_summing_the_neighbors() -> None:
    layer = ConvNN1d(5, 5, 3, candidates="all", aggregation="depthwise", padding=0).double()
    x = randn(1, 5, 3)  # all three tokens are neighbors of each
    torch.testing.assert_close(layer(x), x.sum(-1, keepdim=True).expand(-1, -1, 3))


def test_a_token_is_its_own_first_neighbor_even_if_it_is_not_drawn() -> None:
    layer = ConvNN1d(2, 2, 1, padding=0, candidates="random", r=1).double()
    x = randn(2, 2, 7)
    weight, bias = layer.conv.weight, layer.conv.bias
    torch.testing.assert_close(layer(x), F.conv1d(x, weight, bias))


def test_random_candidates_are_drawn_again_at_every_pass_and_repeat_with_the_seed() -> None:
    layer = ConvNN2d(3, 4, k=3, candidates="random", r=6).eval()
    x = torch.randn(2, 3, 5, 5)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


def test_fixed_candidates_make_evaluation_repeatable_and_draw_nothing() -> None:
    layer = ConvNN2d(3, 4, k=3, candidates="random", r=6, fixed_at_evaluation=True)
    x = torch.randn(2, 3, 5, 5)
    assert not torch.equal(layer(x), layer(x))
    layer.eval()
    state = torch.get_rng_state()
    assert torch.equal(layer(x), layer(x))
    assert torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize(("r", "when_too_few"), [(36, "error"), (36, "all"), (37, "all")])
def test_r_of_all_tokens_equals_all_bit_for_bit_and_draws_nothing(r: int, when_too_few: Any) -> None:
    x = torch.randn(1, 3, 4, 4)
    random = ConvNN2d(3, 4, k=3, candidates="random", r=r, when_too_few=when_too_few)
    everything = ConvNN2d(3, 4, k=3)
    everything.load_state_dict(random.state_dict())
    state = torch.get_rng_state()
    assert torch.equal(random(x), everything(x))
    assert torch.equal(torch.get_rng_state(), state)


def test_r_above_the_number_of_tokens_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"r must be 1 to 36 \(tokens of the map\), got r=37; try when_too_few='all'"):
        ConvNN2d(3, 4, k=3, candidates="random", r=37)(torch.randn(1, 3, 4, 4))


@pytest.mark.parametrize("axes", [1, 2])
def test_shuffling_undoes_unshuffling(axes: int) -> None:
    x = randn(2, 3, *(6, 10)[:axes])
    assert unshuffle(x, 2).shape == (2, 3 * 2**axes, *(3, 5)[:axes])
    assert torch.equal(shuffle(unshuffle(x, 2), 2), x)


def test_a_pixel_in_a_patch_of_a_sequence_keeps_its_position() -> None:
    x = torch.arange(6.0).view(1, 1, 6)
    assert unshuffle(x, 2).tolist() == [[[0, 2, 4], [1, 3, 5]]]


@pytest.mark.parametrize(
    ("chosen", "message"),
    [
        ({"similarity": "cosin"}, "similarity must be one of cosine, dot, euclidean, got similarity='cosin'"),
        ({"aggregation": "full"}, "aggregation must be one of standard, depthwise, depthwise_separable"),
        ({"candidates": "random"}, "r must be set for candidates='random' or candidates='even' and only for it"),
        ({"candidates": "random", "r": 4}, "r must be at least k"),
        ({"r": 16}, "r must be set for"),
        ({"candidates": "strided", "stride": 0}, "stride must be an integer, at least 1, got stride=0"),
        ({"candidates": "lattice", "side": 2}, "side x side must be at least k, got k=9, side=2"),
        ({"fixed_at_evaluation": True}, "fixed_at_evaluation needs candidates='random'"),
        ({"position": "only", "k": 8}, "needs k = 1, 9, 25"),
        ({"position": "only", "rho": "softmax"}, "nothing is compared"),
        ({"self_score": 1.0}, "self_score needs self_first=True and rho='softmax'"),
        ({"k": 0}, "k must be an integer, at least 1, got k=0"),
        ({"k": 2.5}, "k must be an integer, at least 1, got k=2.5"),
        ({"patch": 0}, "patch must be an integer, at least 1"),
    ],
)
def test_contradicting_options_are_rejected(chosen: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvNN2d(3, 4, **chosen)


@pytest.mark.parametrize(
    ("chosen", "shape", "message"),
    [
        ({"k": 17}, (1, 3, 2, 2), r"k must be 1 to 16 \(candidate tokens\), got k=17"),
        ({"patch": 2}, (1, 3, 4, 5), "patch must divide every side of the map, got patch=2 for 4 x 5; try patch=1"),
        ({}, (1, 4, 4, 4), r"the input must be \(B, C, H, W\) with C = 3, got shape \(1, 4, 4, 4\)"),
        ({}, (3, 4, 4), r"the input must be \(B, C, H, W\) with C = 3, got shape \(3, 4, 4\)"),
        ({}, (1, 3, 0, 4), "the input must contain at least one token"),
        ({"candidates": "strided", "stride": 4}, (1, 3, 4, 4), "stride=4 leaves 1 of 16 tokens as candidates"),
        ({"candidates": "lattice", "side": 5}, (1, 3, 4, 7), r"side must be 1 to 4 \(side of the map\), got side=5"),
        ({"candidates": "even", "r": 17}, (1, 3, 4, 4), "r must be 1 to 16"),
    ],
)
def test_maps_that_do_not_fit_are_rejected(chosen: dict[str, Any], shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvNN2d(3, 4, **chosen)(torch.randn(shape))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (torch.arange(3), "at least k and at most all 36 tokens, got 3 with k=9"),
        (torch.zeros(2, 9, dtype=torch.int64), r"candidate_index must be \(R,\) of int64, got \(2, 9\)"),
    ],
)
def test_invalid_candidates_are_rejected(index: Tensor, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvNN2d(3, 4)(torch.randn(2, 3, 4, 4), index)


def test_another_dtype_is_rejected() -> None:
    with pytest.raises(TypeError, match=r"the layer's dtype torch.float32, got torch.float64; convert one of them"):
        ConvNN2d(3, 4)(randn(1, 3, 4, 4))


def test_lattices_need_a_map() -> None:
    with pytest.raises(ValueError, match="use candidates='even' for a sequence"):
        ConvNN1d(3, 4, candidates="lattice", side=3)


HYBRIDS: list[dict[str, Any]] = [
    {"k": 5},
    {"k": 5, "rho": "softmax"},
    {"k": 5, "aggregation": "depthwise", "position": "both"},
    {"k": 5, "kernel_size": 4},
    {"k": 5, "branches": "convolution+convnn_attention"},
    {"k": 5, "branches": "attention+convnn_attention", "heads": 3, "aggregation": "standard"},
]


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("chosen", HYBRIDS)
@pytest.mark.parametrize(("kind", "shape"), [(HybridBranch1d, (2, 3, 11)), (HybridBranch2d, (2, 3, 5, 5))])
def test_every_hybrid_keeps_the_map_and_gives_every_parameter_a_gradient(
    kind: Any, shape: tuple[int, ...], chosen: dict[str, Any], lam: float
) -> None:
    layer = kind(3, 7, lam, **chosen)
    x = torch.randn(shape, requires_grad=True)
    y = layer(x)
    assert y.shape == (2, 7, *shape[2:])
    y.square().sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())


@pytest.mark.parametrize("kernel_size", [2, 3, 4, 5])
def test_lambda_0_is_a_convolution_and_a_pointwise_one(kernel_size: int) -> None:
    layer = HybridBranch2d(3, 5, 0.0, kernel_size=kernel_size)
    assert isinstance(layer.conv, nn.Conv2d)
    x = torch.randn(2, 3, 7, 7)
    before, after = (kernel_size - 1) // 2, kernel_size // 2
    padded = F.pad(x, (before, after, before, after))
    expected = layer.fuse(F.conv2d(padded, layer.conv.weight, layer.conv.bias))
    torch.testing.assert_close(layer(x), expected)


def test_lambda_0_starts_with_the_weights_of_the_plain_layers_for_any_other_options() -> None:
    torch.manual_seed(3)
    hybrid = HybridBranch2d(3, 5, 0.0, k=4, candidates="random", r=16, aggregation="depthwise")
    torch.manual_seed(3)
    plain = [nn.Conv2d(3, 5, 3, padding=1), nn.Conv2d(5, 5, 1)]
    assert isinstance(hybrid.conv, nn.Conv2d)
    for ours, theirs in zip([hybrid.conv, hybrid.fuse], plain, strict=True):
        assert torch.equal(ours.weight, theirs.weight)


def test_candidates_do_not_change_the_weights_a_seed_gives() -> None:
    weights = []
    for chosen in ({}, {"candidates": "random", "r": 16}, {"candidates": "strided", "stride": 2}):
        torch.manual_seed(3)
        weights.append(ConvNN2d(3, 5, 4, **chosen).state_dict())  # type: ignore[arg-type]
    assert all(torch.equal(weights[0]["conv.weight"], other["conv.weight"]) for other in weights[1:])


@pytest.mark.parametrize("lam", [-0.1, 1.1, float("nan")])
def test_lambda_outside_0_to_1_is_rejected(lam: float) -> None:
    with pytest.raises(ValueError, match="lambda must be 0"):
        HybridBranch2d(3, 4, lam)


@pytest.mark.parametrize("aggregation", ["standard", "depthwise", "depthwise_separable"])
@pytest.mark.parametrize("patch", [1, 2])
def test_maps_and_weights_in_channels_last_give_the_same_numbers(aggregation: Any, patch: int) -> None:
    layer = HybridBranch2d(4, 6, 0.5, k=4, aggregation=aggregation, patch=patch).double()
    x = randn(2, 4, 6, 8)
    results = []
    for order in (torch.contiguous_format, torch.channels_last):
        layer.zero_grad()
        y = layer.to(memory_format=order)(x.to(memory_format=order))
        y.square().sum().backward()
        results.append([y, *(p.grad for p in layer.parameters())])
    torch.testing.assert_close(*results)


@pytest.mark.parametrize("chosen", [{}, {"rho": "softmax"}, {"candidates": "random", "r": 8}])
def test_autocast_trains_in_bf16_and_stays_near_float32(chosen: dict[str, Any]) -> None:
    layer = HybridBranch2d(4, 6, 0.5, k=4, **chosen)
    x = torch.randn(2, 4, 5, 7, requires_grad=True)
    torch.manual_seed(0)
    expected = layer(x)
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(x)
    assert y.dtype == torch.bfloat16
    y.float().square().sum().backward()
    assert x.grad is not None
    assert all(p.grad is not None and p.grad.dtype == torch.float32 for p in layer.parameters())
    torch.testing.assert_close(y.float(), expected, atol=0.1, rtol=0.1)


@pytest.mark.parametrize("chosen", [{}, {"rho": "softmax"}, {"candidates": "strided", "stride": 2}])
def test_the_layer_compiles_without_graph_breaks(chosen: dict[str, Any]) -> None:
    layer = HybridBranch2d(4, 6, 0.5, k=4, **chosen)
    compiled: Any = torch.compile(layer, backend="aot_eager", fullgraph=True)
    x = torch.randn(2, 4, 5, 7)
    torch.testing.assert_close(compiled(x), layer(x))
    compiled(x).sum().backward()
    assert all(p.grad is not None for p in layer.parameters())
