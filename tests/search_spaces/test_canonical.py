import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from convnn.geometry import CANDIDATE_KINDS
from search_spaces import TrialConfig, canonical, config_key, run_key
from search_spaces.models import MODELS
from search_spaces.models.candidates import AllCandidates, RandomCandidates
from search_spaces.models.vgg import LAYERS, Conv2dLayer, ConvNNLayer, HybridLayer
from search_spaces.models.vit import ATTENTIONS
from search_spaces.reading.fields import literal_of
from search_spaces.registry import Registry
from tests.search_spaces.strategies import fixed, trials

KEYS = Path(__file__).parent / "keys_0_1_0.json"
"""Configurations of every kind and option, of every preset, and random ones, with their keys from version 0.1.0."""

NAMES = ("canonical", "config_key", "run_key")


def trial(layer: dict[str, Any], width: float = 1.0, **sections: Any) -> TrialConfig:
    return TrialConfig.model_validate({"model": {"name": "vgg11", "width": width, "layer": layer}, **sections})


def hybrid(lam: float, **options: Any) -> dict[str, Any]:
    return {"kind": "hybrid", "lambda": lam, **options}


def random_r(r: int, **options: Any) -> dict[str, Any]:
    return {"kind": "random", "r": r, **options}


def test_lambda_0_is_the_convolution_for_any_k_and_candidates() -> None:
    odd = hybrid(0, kernel_size=5, k=7, padding=2, candidates=random_r(64))
    assert canonical(trial(odd)) == trial({"kind": "conv2d", "kernel_size": 5})


def test_lambda_too_small_for_a_single_channel_is_the_convolution() -> None:
    assert isinstance(canonical(trial(hybrid(0.001))).model.mixing_layer, Conv2dLayer)


def test_lambda_1_is_convnn_for_any_kernel_size() -> None:
    options = {"k": 5, "similarity": "euclidean", "candidates": random_r(12)}
    assert canonical(trial(hybrid(1, kernel_size=7, **options))) == trial({"kind": "convnn", **options})


def test_lambdas_with_the_same_channel_counts_share_a_key() -> None:
    half, more, most = (config_key(trial(hybrid(lam), width=0.125)) for lam in (0.5, 0.51, 0.6))
    assert half == more != most


def test_widths_with_the_same_channel_counts_share_a_key() -> None:
    narrow, same, wider = (config_key(trial(hybrid(0.5), width=width)) for width in (0.125, 0.1251, 0.14))
    assert narrow == same != wider


def test_random_candidates_that_always_cover_every_token_are_all() -> None:
    covering = trial(hybrid(0.5, candidates=random_r(34 * 34, when_too_few="all")))
    assert canonical(covering) == trial(hybrid(0.5))
    fewer = canonical(trial(hybrid(0.5, candidates=random_r(34 * 34 - 1, when_too_few="all")))).model.mixing_layer
    assert isinstance(fewer, HybridLayer)
    assert isinstance(fewer.candidates, RandomCandidates)


def test_only_maps_with_convnn_channels_count_for_coverage() -> None:
    layer = hybrid(0.125, candidates=random_r(36, when_too_few="all"))  # conv5 and later: 4 x 4 tokens and a ring
    found = canonical(trial(layer, width=1 / 64)).model.mixing_layer
    assert isinstance(found, HybridLayer)
    assert found.candidates == AllCandidates()


def test_when_too_few_has_no_effect_if_no_map_has_too_few_tokens() -> None:
    error, everything = (
        trial({"kind": "convnn", "candidates": random_r(16, when_too_few=word)}) for word in ("error", "all")
    )
    assert canonical(everything) == canonical(error)
    assert config_key(everything) == config_key(error)


def test_random_candidates_on_large_maps_only_stay_random() -> None:
    layer = canonical(trial({"kind": "convnn", "candidates": random_r(64, when_too_few="all")})).model.mixing_layer
    assert isinstance(layer, ConvNNLayer)
    assert layer.candidates == RandomCandidates(kind="random", r=64, when_too_few="all")


def test_equal_numbers_share_a_key_in_any_spelling() -> None:
    whole, real = (
        trial(hybrid(0.5), training={"lr": one, "weight_decay": zero}) for one, zero in ((1, 0), (1.0, -0.0))
    )
    assert config_key(whole) == config_key(real)


def test_the_image_folder_does_not_matter_but_the_data_set_does() -> None:
    keys = [
        config_key(trial(hybrid(0.5), data=data))
        for data in ({}, {"root": "/a"}, {"name": "digits", "root": "b"}, {"name": "cifar10"}, {"limit": 100})
    ]
    assert keys[0] == keys[1] == keys[2]
    assert len(set(keys)) == 3


def test_the_seed_is_only_in_the_run_key() -> None:
    first, second = (trial(hybrid(0.5), training={"seed": seed}) for seed in (0, 7))
    assert config_key(first) == config_key(second)
    assert run_key(first) == f"{config_key(first)}-s0"
    assert run_key(second) == f"{config_key(first)}-s7"


@pytest.mark.parametrize(
    "other",
    [
        {"similarity": "euclidean"},
        {"rho": "softmax"},
        {"k": 8},
        {"padding": 2},
        {"self_first": False},
        {"kernel_size": 5},
        {"candidates": random_r(16)},
    ],
    ids=str,
)
def test_what_changes_the_model_changes_the_key(other: dict[str, Any]) -> None:
    assert config_key(trial(hybrid(0.5, **other))) != config_key(trial(hybrid(0.5)))


@settings(fixed, max_examples=150)
@given(trials())
def test_the_canonical_form_is_idempotent_and_has_the_same_keys(tree: Any) -> None:
    given_, form = (config := TrialConfig.model_validate(tree)), canonical(config)
    assert canonical(form) == form
    assert config_key(form) == config_key(given_)
    assert run_key(form) == run_key(given_)


@settings(fixed, max_examples=60)
@given(trials())
def test_a_trial_survives_json_with_its_key(tree: Any) -> None:
    config = TrialConfig.model_validate(tree)
    again = TrialConfig.model_validate_json(config.model_dump_json(by_alias=True))
    assert again == config
    assert config_key(again) == config_key(config)


@settings(fixed, max_examples=60)
@given(trials(), st.randoms(use_true_random=False))
def test_the_order_of_fields_does_not_matter(tree: dict[str, Any], rng: Any) -> None:
    def shuffled(value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return {name: shuffled(value[name]) for name in rng.sample(list(value), len(value))}

    first, second = map(TrialConfig.model_validate, (tree, shuffled(tree)))
    assert config_key(first) == config_key(second)


def rows() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(KEYS.read_text(encoding="utf-8"))
    return found


def test_keys_never_change() -> None:
    """Old ledgers identify their trials by these keys. If one must change, raise KEY_VERSION.

    If a simpler form is known today, the row also has that form with its keys from 0.1.0.
    """
    for row in rows():
        config = TrialConfig.model_validate(row["config"])
        form = canonical(config).model_dump(mode="json", by_alias=True, exclude_defaults=True)
        kept = row.get("today", row)
        assert (form, config_key(config), run_key(config)) == tuple(kept[name] for name in NAMES), row


def test_configurations_merged_since_0_1_0_had_different_keys() -> None:
    merged = [row for row in rows() if "today" in row]
    assert len(merged) > 15
    assert all(row["today"]["config_key"] != row["config_key"] for row in merged)


def test_keys_are_the_same_in_another_process_with_another_hash_seed() -> None:
    code = (
        "import json, sys; from search_spaces import TrialConfig, config_key; rows = json.load(open(sys.argv[1])); "
        "print(json.dumps([config_key(TrialConfig.model_validate(row['config'])) for row in rows]))"
    )
    environment = {**os.environ, "PYTHONHASHSEED": "4711"}
    done = subprocess.run([sys.executable, "-c", code, KEYS], env=environment, capture_output=True, check=True)
    assert json.loads(done.stdout) == [row.get("today", row)["config_key"] for row in rows()]


def test_the_table_of_keys_covers_every_kind_with_few_duplicates() -> None:
    models = [row["config"]["model"] for row in rows()]
    parts = [model.get("layer") or model["attention"] for model in models]
    assert {model["name"] for model in models} == set(names(MODELS))
    for registry in (LAYERS, ATTENTIONS):
        assert set(names(registry)) <= {part["kind"] for part in parts}
    assert {part["candidates"]["kind"] for part in parts if "candidates" in part} == set(CANDIDATE_KINDS)
    assert len(models) >= 300
    assert len({row["config_key"] for row in rows()}) > 0.8 * len(models)


def names(registry: Registry[Any]) -> list[str]:
    return [literal_of(found, registry.key) for found in registry.classes()]


def attention(**options: Any) -> TrialConfig:
    small = {"name": "vit_tiny", "image_size": 32, "patch_size": 8, "depth": 1, "dim": 8, "mlp_width": 4}
    return TrialConfig.model_validate({"model": {**small, "attention": options}})


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"k": 1}, {"k": 1, "similarity": "euclidean", "rho": "softmax", "padding": 2, "candidates": random_r(4)}),
        ({}, {"position_scaling": "std"}),  # scaling has no effect without coordinates
        ({"padding": 0, "k": 4}, {"padding": 0, "k": 4, "candidates": {"kind": "strided", "stride": 1}}),
        (
            {"padding": 0, "k": 4},
            {"padding": 0, "k": 4, "candidates": {"kind": "even", "r": 1024, "when_too_few": "all"}},
        ),
        (
            {"candidates": {"kind": "lattice", "side": 2}, "k": 4},
            {"candidates": {"kind": "lattice", "side": 2, "when_too_few": "all"}, "k": 4},
        ),
    ],
)
def test_equivalent_configurations_share_a_key(one: dict[str, Any], other: dict[str, Any]) -> None:
    keys = {config_key(trial({"kind": "convnn", **options})) for options in (one, other)}
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({"k": 1, "self_first": False}, {"k": 1, "self_first": False, "similarity": "euclidean"}),
        ({"k": 1, "position": "both"}, {"k": 1, "position": "both", "padding": 2}),  # coordinates span the padded map
        ({}, {"candidates": {"kind": "strided", "stride": 1}}),  # a grid does not include the ring
        ({"patch": 2}, {}),
        ({"position": "similarity"}, {"position": "both"}),
        ({"self_first": True, "rho": "softmax"}, {"self_first": True, "rho": "softmax", "self_score": 1.0}),
    ],
)
def test_different_configurations_have_different_keys(one: dict[str, Any], other: dict[str, Any]) -> None:
    keys = {config_key(trial({"kind": "convnn", **options})) for options in (one, other)}
    assert len(keys) == 2


def test_random_candidates_of_all_vit_tokens_are_all() -> None:
    everything = attention(kind="convnn", k=4)
    assert config_key(attention(kind="convnn", k=4, candidates=random_r(17))) == config_key(everything)
    assert config_key(attention(kind="convnn", k=4, candidates=random_r(16))) != config_key(everything)


def test_a_hybrid_vit_without_convnn_channels_keeps_its_fusing_convolution() -> None:
    empty = attention(kind="hybrid", **{"lambda": 0.1}, k=4)  # int(0.1 x 8) = 0 channels
    assert config_key(empty) == config_key(attention(kind="hybrid", **{"lambda": 0}, k=9, similarity="dot"))
    assert config_key(empty) != config_key(attention(kind="attention"))
