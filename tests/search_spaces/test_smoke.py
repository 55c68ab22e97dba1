"""A small version of a sweep runs each of its kinds."""

import random

import pytest

from search_spaces import Decided, load_sweep, parse_sweep
from search_spaces.base import by_path
from search_spaces.models.base import lam
from search_spaces.presets import names
from search_spaces.smoke import MOST, WHOLE, smoke
from search_spaces.space import Space
from search_spaces.trial import TrialConfig


def words(config: TrialConfig) -> set[tuple[str, object]]:
    leaves = by_path(config.model_dump(mode="json", by_alias=True))
    return {(path, value) for path, value in leaves if isinstance(value, str) and path != "training.precision"}


def configs(space: Space) -> list[TrialConfig]:
    return [space.resolve(Decided(point)) for point in space.points()]


@pytest.mark.parametrize("preset", names())
def test_each_kind_of_a_preset_has_a_small_trial_or_is_named(preset: str) -> None:
    spec = load_sweep(preset)
    found = smoke(spec, gpu=False)
    trials = configs(found.spec.space)
    assert found.spec.name == f"{preset}-smoke"
    assert 1 <= len(trials) <= max(MOST, WHOLE)
    for trial in trials:
        assert next(found.spec.infeasibilities(trial), None) is None
        assert (trial.training.epochs, trial.training.precision) == (min(2, trial.training.epochs), "fp32")
        assert trial.data.limit is not None
        assert trial.data.limit <= 1000
        assert trial.model.parameters(10) < 3_000_000
    rng = random.Random(1)
    drawn = [spec.space.resolve(Decided(spec.space.draw(rng))) for _ in range(50)]
    kinds = {kind for config in drawn if next(spec.infeasibilities(config), None) is None for kind in words(config)}
    shown = {kind for trial in trials for kind in words(trial)}
    named = {text.rpartition(" ")[0] for text in found.left_out}
    assert all(path in named for path, _ in kinds - shown)
    assert found.spec.resources.gpus_per_trial == 0


def test_a_small_grid_keeps_every_row() -> None:
    found = smoke(load_sweep("table1-cifar10"), gpu=True)
    layers = [trial.model.mixing_layer for trial in configs(found.spec.space)]
    assert len(layers) == 17
    assert {lam(layer) for layer in layers} == {n / 8 for n in range(9)}
    assert found.spec.resources.gpus_per_trial == 0.25
    assert found.left_out == []


def test_kinds_without_a_trial_are_named() -> None:
    options = ", ".join(f"{{kind: conv2d, kernel_size: {size}}}" for size in range(1, 31))
    space = f"{{model: {{name: vgg11, layer: {{any_of: [{options}]}}}}}}"
    text = f"name: many\nspace: {space}\nsearch: {{sampler: random, trials: 9}}\n"
    found = smoke(parse_sweep(text), gpu=False)
    assert len(configs(found.spec.space)) == MOST
    assert len(found.left_out) == 30 - MOST
    assert all(each.startswith("model.layer ") for each in found.left_out)


def test_trials_that_are_equal_when_small_run_once() -> None:
    text = (
        "name: sizes\nspace:\n  model: {name: vgg11, width: {choice: [0.5, 1]}, layer: {kind: conv2d}}\n"
        "  training: {epochs: {choice: [5, 50]}}\nsearch: {sampler: grid}\n"
    )
    assert len(configs(smoke(parse_sweep(text), gpu=False).spec.space)) == 1


def test_kinds_that_a_small_trial_does_not_run_are_named() -> None:
    text = (
        "name: digits-of-training\nspace:\n  model: {name: vgg11, layer: {kind: conv2d}}\n"
        "  training: {compile: {choice: [false, true]}}\nsearch: {sampler: grid}\n"
    )
    assert smoke(parse_sweep(text), gpu=False).left_out == ["training.compile True"]
