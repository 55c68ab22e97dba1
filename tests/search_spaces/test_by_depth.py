"""Layers by depth: their names in a file, equal configurations, and messages about mistakes."""

import re
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from convnn.geometry import VGG11_STAGES, range_mistakes, range_name, stage_ranges
from search_spaces import (
    Decided,
    SpecError,
    SweepSpec,
    TrialConfig,
    canonical,
    config_key,
    differences,
    infeasibilities,
    parse_sweep,
)
from search_spaces.headline import headline
from search_spaces.models.depth import Layers, layers_of
from search_spaces.models.vgg import Conv2dLayer
from search_spaces.models.vgg11 import VGG11
from tests.search_spaces.strategies import RANGES, fixed, models

HYBRID = {"kind": "hybrid", "lambda": 0.5}
RANDOM = {**HYBRID, "candidates": {"kind": "random", "r": 64, "when_too_few": "all"}}
LATTICE = {**HYBRID, "k": 4, "candidates": {"kind": "lattice", "side": 8, "when_too_few": "all"}}
CONV = {"kind": "conv2d"}


def trial(width: float = 1.0, **layers: Any) -> TrialConfig:
    return TrialConfig.model_validate({"model": {"name": "vgg11", "width": width, **layers}})


def by_depth(*layers: Any, **options: Any) -> TrialConfig:
    """Return a trial with these layers in eight stages, or in as many ranges as there are layers."""
    sizes = {8: [1] * 8, 3: [2, 2, 4], 2: [4, 4]}[len(layers)]
    ends = [sum(sizes[:at]) for at in range(len(sizes) + 1)]
    names = [range_name(VGG11_STAGES[low:high]) for low, high in pairwise(ends)]
    return trial(layers=dict(zip(names, layers, strict=True)), **options)


@settings(fixed, max_examples=200)
@given(st.lists(st.sampled_from(sorted(stage_ranges())), max_size=4, unique=True) | RANGES)
def test_names_are_valid_exactly_if_they_name_each_stage_once(names: list[str]) -> None:
    stages = [stage for name in names for stage in stage_ranges()[name]]
    assert (not list(range_mistakes(names))) == (sorted(stages) == sorted(VGG11_STAGES))


def test_ranges_consist_of_consecutive_stages() -> None:
    assert len(stage_ranges()) == 8 * 9 / 2
    assert stage_ranges()["conv4-conv6"] == ("conv4", "conv5", "conv6")


LAYERS = models(only="layer")


@settings(fixed, max_examples=60)
@given(LAYERS, RANGES)
def test_equal_layers_by_depth_are_the_same_as_one_layer(model: Any, names: list[str]) -> None:
    one = {name: value for name, value in model.items() if name != "layer"}
    whole = trial(**model)
    split = trial(**one, layers=dict.fromkeys(names, model["layer"]))
    assert any(infeasibilities(whole)) == any(infeasibilities(split))
    assume(not any(infeasibilities(whole)))
    assert canonical(split) == canonical(whole)
    assert config_key(split) == config_key(whole)


@settings(fixed, max_examples=60)
@given(LAYERS)
def test_the_canonical_forms_of_all_stages_are_the_same_as_one_layer(model: Any) -> None:
    """This holds even if an option has no effect in one stage and an effect in another: candidates, ring."""
    whole = trial(**model)
    assume(not any(infeasibilities(whole)))
    assert isinstance(whole.model, VGG11)
    assert whole.model.layer is not None
    forms = {stage.name: whole.model.layer.canonical([stage]) for stage in whole.model.stages()}
    split = whole.model_copy(
        update={"model": whole.model.model_copy(update={"layer": None, "layers": layers_of(forms)})}
    )
    assert config_key(split) == config_key(whole)


@settings(fixed, max_examples=60)
@given(models(only="layers"), st.data())
def test_splitting_a_range_does_not_change_the_key(model: Any, data: Any) -> None:
    split: dict[str, Any] = {}
    for name, layer in model["layers"].items():
        stages = stage_ranges()[name]
        cut = data.draw(st.integers(0, len(stages) - 1))
        split |= {range_name(part): layer for part in (stages[:cut], stages[cut:]) if part}
    one, other = trial(**model), trial(**{**model, "layers": split})
    assert any(infeasibilities(one)) == any(infeasibilities(other))
    assert config_key(one) == config_key(other)
    assume(not any(infeasibilities(one)))
    assert canonical(one) == canonical(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (by_depth({**HYBRID, "lambda": 0, "k": 4}, RANDOM), by_depth(CONV, RANDOM)),
        (by_depth({**HYBRID, "lambda": 1, "kernel_size": 5}, CONV), by_depth({"kind": "convnn"}, CONV)),
        (by_depth(RANDOM, CONV), by_depth({**HYBRID, "candidates": {"kind": "random", "r": 64}}, CONV)),
        (trial(layer=CONV), by_depth(CONV, {**HYBRID, "lambda": 0})),
        (trial(layer=RANDOM), by_depth(*[RANDOM] * 6, HYBRID, HYBRID)),  # conv7 has 16 tokens
        (trial(layer=LATTICE), by_depth(*[{**LATTICE, "padding": 0}] * 4, *[{**HYBRID, "k": 4}] * 4)),
        (trial(layer={**HYBRID, "lambda": 0.003}), by_depth(*[CONV] * 4, *[{**HYBRID, "lambda": 0.003}] * 4)),
        (trial(1 / 16, layer=HYBRID), by_depth(HYBRID, {**HYBRID, "lambda": 0.51}, width=1 / 16)),
        (by_depth({**HYBRID, "self_score": 0.0}, CONV), by_depth({**HYBRID, "self_score": -0.0}, CONV)),
    ],
)
def test_the_same_computation_has_one_key(one: TrialConfig, other: TrialConfig) -> None:
    assert config_key(one) == config_key(other)


@pytest.mark.parametrize(
    "other",
    [
        by_depth(HYBRID, CONV),
        by_depth(CONV, {**HYBRID, "k": 4}),
        by_depth(CONV, {**HYBRID, "lambda": 0.25}),
        by_depth(CONV, {**HYBRID, "kernel_size": 5}),
        by_depth(*[CONV] * 5, *[HYBRID] * 3),
        by_depth(CONV, {**HYBRID, "candidates": {"kind": "random", "r": 16}}),
        trial(layer=HYBRID),
        trial(layer=CONV),
    ],
)
def test_a_difference_in_one_stage_gives_a_different_key(other: TrialConfig) -> None:
    assert config_key(other) != config_key(by_depth(CONV, HYBRID))


def test_lambda_0_in_a_stage_is_the_convolution_there() -> None:
    form = canonical(by_depth({**HYBRID, "lambda": 0, "k": 7}, HYBRID, {**HYBRID, "lambda": 0})).model
    assert isinstance(form, VGG11)
    assert isinstance(form.layers, Layers)
    assert list(form.layers.by_range) == ["conv1-conv2", "conv3-conv4", "conv5-conv8"]
    assert form.layers.by_range["conv1-conv2"] == Conv2dLayer(kind="conv2d")


def test_an_infeasible_layer_is_reported_with_its_range() -> None:
    (reason,) = infeasibilities(by_depth({"kind": "convnn", "k": 20}, {"kind": "convnn", "k": 20}))
    assert reason.path == "model.layers.conv5-conv8.k"
    assert reason.message.startswith("must be at most 16 for conv7 (2 x 2 tokens, ring 1: 16 candidates), got 20")


def test_the_headline_has_the_values_common_to_all_layers() -> None:
    assert headline(by_depth(CONV, RANDOM, LATTICE)) == {
        "lambda": None,
        "k": None,
        "r": 64,
        "p": 1,
        "aggregation": "standard",
        "lr": 1e-4,
    }


FILE = """
name: depths
space:
  model:
    name: vgg11
    width: 0.125
    layers:
      conv1-conv2: {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: 4}
      conv3-conv8: {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}}
search: {sampler: grid}
"""


def sweep(*rules: str, text: str = FILE, overrides: tuple[str, ...] = ()) -> SweepSpec:
    return parse_sweep(f"{text}constraints: {list(rules)}\n", overrides=overrides)


def complaint(*rules: str, **options: Any) -> str:
    with pytest.raises(SpecError) as caught:
        sweep(*rules, **options)
    return str(caught.value)


FIRST, REST = "model.layers.conv1-conv2", "model.layers.conv3-conv8"


def test_each_range_has_separate_domains() -> None:
    spec = sweep()
    assert [leaf.path for leaf in spec.space.domains()] == [
        f"space.{FIRST}.lambda",
        f"space.{REST}.lambda",
        f"space.{REST}.k",
    ]
    assert spec.planned() == 8
    one = spec.space.resolve(Decided({f"space.{FIRST}.lambda": 0.5, f"space.{REST}.lambda": 0.5, f"space.{REST}.k": 4}))
    assert canonical(one) == canonical(trial(0.125, layer={**HYBRID, "k": 4}))


def test_a_layer_that_runs_in_some_stages_only_is_never_put_into_all() -> None:
    """A patch of 4 x 4 does not fit the 2 x 2 tokens of conv7, which has a convolution here."""
    layers = "{conv1-conv6: {kind: convnn, patch: 4, k: {choice: [1, 2]}}, conv7-conv8: {kind: conv2d}}"
    spec = sweep(text=f"name: a\nspace: {{model: {{layers: {layers}}}}}\nsearch: {{sampler: grid}}\n")
    assert spec.planned() == 2
    keys = {config_key(spec.space.resolve(Decided(point))) for point in spec.space.points()}
    assert len(keys) == 2


def test_alternatives_may_have_different_ranges() -> None:
    layers = "layers: {any_of: [{conv1-conv8: {kind: conv2d}}, {conv1: {kind: conv2d}, conv2-conv8: {kind: convnn}}]}"
    text = f"name: a\nspace: {{model: {{{layers}}}}}\nsearch: {{sampler: grid}}\n"
    assert sweep(text=text).planned() == 2


def test_an_override_changes_one_range() -> None:
    spec = sweep(overrides=(f"space.{REST}.k=3", f"space.{FIRST}={{kind: conv2d}}"))
    assert [leaf.path for leaf in spec.space.domains()] == [f"space.{REST}.lambda"]
    assert differences(sweep(), sweep(overrides=(f"space.{REST}.k={{choice: [4]}}",))) == [
        f"space.{REST}.k: {{choice: [4, 9]}} -> {{choice: [4]}}"
    ]


@pytest.mark.parametrize(
    ("override", "way"),
    [
        ("layers.conv3-conv8.k=3", f"write --set space.{REST}.k=3."),
        ("k=3", f"write --set space.{FIRST}.k=3, or --set space.{REST}.k=3."),
        (f"space.{REST}.lamda=0.5", "did you mean 'lambda'?"),
        ("space.model.layer={kind: conv2d}", "To replace all of it: --set 'space.model={layer: {...}}'."),
        (f"space.{FIRST[:-6]}={{kind: conv2d}}", "To replace all of it: --set 'space.model.layers={conv1: {...}}'."),
    ],
)
def test_the_message_for_a_misplaced_override_gives_the_right_one(override: str, way: str) -> None:
    assert complaint(overrides=(override,)).endswith(way)


def test_a_rule_can_use_the_fields_of_a_range() -> None:
    assert sweep(f"{FIRST}.lambda < {REST}.lambda").planned() == 2
    assert sweep(f"{REST}.k - {FIRST}.k<=0", f"space.{FIRST}.lambda-{REST}.lambda == 0").planned() == 2


def test_a_rule_with_the_last_part_of_a_path_applies_to_the_only_range_with_that_field() -> None:
    assert sweep("k < 9", overrides=(f"space.{FIRST}={{kind: conv2d}}",)).planned() == 2


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("k < 9", f"may be {FIRST}.k or {REST}.k; write the full path."),
        ("model.layers.conv1.k < 9", f"is not a field; did you mean '{FIRST}.k'?"),
        (f"{REST}.q < 9", "is not a field"),
    ],
)
def test_a_rule_with_an_ambiguous_or_unknown_range_is_refused(rule: str, message: str) -> None:
    assert message in complaint(rule)


def test_from_python_the_same_mistakes_are_refused() -> None:
    for layers, message in (
        ({"layers": {"conv1-conv4": CONV}}, "conv5, conv6, conv7, conv8 are missing; add conv5-conv8: {...}."),
        ({"layers": {"conv1-conv8": CONV, "conv3": CONV}}, "conv3 is already in conv1-conv8"),
        ({"layers": {"conv1-conv8": CONV}, "layer": CONV}, "must not be combined with layer"),
        ({}, "layer is missing"),
    ):
        with pytest.raises(ValueError, match=re.escape(message)):
            trial(**layers)
