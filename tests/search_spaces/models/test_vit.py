from typing import Any, get_args

import pytest
from torch import nn

from convnn.attention import ConvNNAttention as ConvNNModule
from convnn.attention import KVTAttention as KVTModule
from convnn.attention import LocalAttention as LocalModule
from convnn.attention import SelfAttention
from convnn.attention import SparseAttention as SparseModule
from convnn.models.vit import ATTENTION_KINDS, vit_tiny
from search_spaces import TrialConfig, canonical
from search_spaces.models.candidates import SequenceKinds
from search_spaces.models.vgg import ConvNNLayer
from search_spaces.models.vit import (
    ATTENTIONS,
    ConvNNAttention,
    HybridAttention,
    KVTAttention,
    LocalAttention,
    SoftmaxAttention,
    SparseAttention,
    ViTTiny,
)
from search_spaces.reading.fields import literal_of
from tests.search_spaces.models.agree import arguments_of, defaults, words
from tests.search_spaces.models.test_vgg import some

LEFT = "which leaves 2 in every block (197 tokens: 197 candidates)"


def model(attention: dict[str, Any], **options: Any) -> ViTTiny:
    found = TrialConfig.model_validate({"model": {"name": "vit_tiny", "attention": attention, **options}}).model
    assert isinstance(found, ViTTiny)
    return found


def test_every_kind_of_attention_can_be_described() -> None:
    assert [literal_of(kind, "kind") for kind in ATTENTIONS.classes()] == list(ATTENTION_KINDS)


@pytest.mark.parametrize(
    ("attention", "module"),
    [
        (SoftmaxAttention(kind="attention"), SelfAttention),
        (KVTAttention(kind="kvt"), KVTModule),
        (LocalAttention(kind="local"), LocalModule),
        (SparseAttention(kind="sparse"), SparseModule),
        (ConvNNAttention(kind="convnn"), ConvNNModule),
    ],
    ids=["attention", "kvt", "local", "sparse", "convnn"],
)
def test_an_attention_has_the_options_and_the_defaults_of_its_module(attention: Any, module: type[nn.Module]) -> None:
    options = {name: value for name, value in defaults(module).items() if name not in ("heads", "out_dim", "dropout")}
    found = attention.arguments()
    kind = found.pop("attention")
    assert kind == attention.kind
    if module is ConvNNModule:
        every = (ConvNNAttention(kind="convnn", candidates=some(kind)) for kind in get_args(SequenceKinds))
        assert arguments_of(every) - {"attention"} == set(options)
        options = {name: options[name] for name in found}
    elif module is SelfAttention:
        options.pop("head_dim")  # only local attention has it
    assert found == options


def test_a_hybrid_has_the_options_of_convnn_attention_and_lambda() -> None:
    hybrid = HybridAttention(kind="hybrid", lam=0.5).arguments()
    assert hybrid == {**ConvNNAttention(kind="convnn").arguments(), "attention": "hybrid", "lam": 0.5}


def test_the_values_of_attention_options_are_those_of_the_module() -> None:
    fields = ("similarity", "rho", "aggregation")
    assert words(ConvNNAttention, *fields) == words(ConvNNLayer, *fields)


def test_the_model_has_the_options_and_the_defaults_of_vit_tiny() -> None:
    own = {name: info.default for name, info in ViTTiny.model_fields.items() if name not in ("name", "attention")}
    options = defaults(vit_tiny)
    options.pop("attention")
    own["width"] = own.pop("dim")
    assert own == options


@pytest.mark.parametrize(
    ("attention", "options", "path", "message"),
    [
        (
            {"kind": "attention"},
            {"image_size": 30},
            "model.patch_size",
            "must divide image_size (30), got 16; the nearest image_size that fits is 32.",
        ),
        ({"kind": "attention"}, {"heads": 5}, "model.heads", "must divide dim (192), got 5; heads: 1 always fits."),
        (
            {"kind": "kvt", "k": 198},
            {},
            "model.attention.k",
            "must be at most 197 (tokens of every block), got 198; use a smaller k or smaller patches.",
        ),
        (
            {"kind": "local", "head_dim": 3},
            {"heads": 5},  # heads with an explicit size always fit
            "model.attention.head_dim",
            "must be even for rotary positions, which pair channels; got 3; use an even one, or rotary: false.",
        ),
        (
            {"kind": "convnn", "candidates": {"kind": "strided", "stride": 99}},
            {},
            "model.attention.candidates.stride",
            f"must leave k = 9 candidates, got 99, {LEFT}; use a smaller stride, or when_too_few: all.",
        ),
    ],
)
def test_infeasible_models_are_reported_with_the_way_out(
    attention: dict[str, Any], options: dict[str, Any], path: str, message: str
) -> None:
    (reason,) = model(attention, **options).infeasibilities()
    assert (reason.path, reason.message) == (path, message)


def test_a_hybrid_without_convnn_channels_needs_no_neighbors() -> None:
    small = {"image_size": 32, "depth": 1, "dim": 8, "mlp_width": 4}  # 5 tokens, fewer than the default k
    trial = TrialConfig(model=model({"kind": "hybrid", "lambda": 0, "k": 2}, **small))
    form = canonical(trial).model
    assert form.mixing_layer == HybridAttention(kind="hybrid", lam=0.0)
    more = model({"kind": "hybrid", "lambda": 0.5, "k": 2}, **small).flops(10) or 0
    assert form.flops(10) == (trial.model.flops(10) or 0) < more


def test_a_deeper_model_has_more_of_everything() -> None:
    shallow, deep = (model({"kind": "convnn"}, depth=depth) for depth in (2, 3))
    assert shallow.parameters(10) < deep.parameters(10) < deep.parameters(100)
    assert shallow.activations() < deep.activations()
    assert (shallow.flops(10) or 0) < (deep.flops(10) or 0)
