import functools
from typing import Any

import pytest
from hypothesis import given, settings

from search_spaces import TrialConfig, differences, infeasibilities, load_sweep, parse_sweep, presets
from search_spaces.memory import held_of, least_memory_gb
from search_spaces.models import ModelConfig
from tests.search_spaces.strategies import fixed, models


@settings(fixed, max_examples=150)
@given(models())
def test_sizes_in_closed_form_are_the_built_models_and_no_step_keeps_less_than_is_said(model: Any) -> None:
    from convnn.cost import measure_cost
    from tune_jobs.worker.build import build_model

    trial = TrialConfig.model_validate({"model": model, "training": {"batch_size": 8, "optimizer": "sgd"}})
    if any(infeasibilities(trial)):
        return
    cost = measure_cost(lambda: build_model(trial.model, 10), batch_size=8)
    assert (trial.model.parameters(10), trial.model.flops(10)) == (cost.parameters, cost.flops)
    least = least_memory_gb(trial) * 1e9 - 12 * cost.parameters
    assert 0 < least <= cost.activation_bytes


def test_sizes_in_closed_form_are_those_of_every_model_of_the_presets() -> None:
    """The ends and the middle of each preset's, by FLOPs: of a twin for CIFAR-100 only the classes differ."""
    from convnn.cost import operations, parameters, unwritten
    from tune_jobs.planning.survey import survey_of
    from tune_jobs.worker.build import build_model

    some: dict[str, ModelConfig] = {}
    for name in presets.names():
        if not name.endswith("cifar100"):
            models = sorted((config.model for config in survey_of(load_sweep(name)).configs), key=flops)
            some |= {model.model_dump_json(): model for model in (models[0], models[len(models) // 2], models[-1])}
    assert len(some) > 20
    for model in some.values():
        built = unwritten(functools.partial(build_model, model, 100))
        found = parameters(built), operations(built, (1, 3, 32, 32)).flops
        assert (model.parameters(100), model.flops(100)) == found, model


def flops(model: ModelConfig) -> int:
    found = model.flops(10)
    assert found is not None
    return found


@settings(fixed, max_examples=100)
@given(models())
def test_what_a_step_keeps_is_about_what_is_said(model: Any) -> None:
    from convnn.cost import activation_bytes, unwritten
    from tune_jobs.worker.build import build_model

    sizes = {"width": 0.25} if model["name"] == "vgg11" else {"dim": 96, "mlp_width": 384, "image_size": 144}
    trial = TrialConfig.model_validate({"model": model | sizes})
    if any(infeasibilities(trial)):
        return
    built = unwritten(functools.partial(build_model, trial.model, 10))
    two, three = (activation_bytes(built, (images, 3, 32, 32)) for images in (2, 3))
    said = sum(part.numbers for part in trial.model.kept(10) or ())
    assert 0.8 < 4 * said / (three - two) < 1.3


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_what_training_holds_is_what_its_optimizer_has(optimizer: str) -> None:
    from convnn.training import TrainState
    from tune_jobs.worker.build import build_model, build_recipe

    small = {"name": "vgg11", "width": 0.125, "classifier_width": 20, "layer": {"kind": "conv2d"}}
    trial = TrialConfig.model_validate({"model": small, "training": {"optimizer": optimizer}})
    state = TrainState.create(lambda: build_model(trial.model, 10), build_recipe(trial.training))
    held = sum(weight.numel() for group in state.optimizer.param_groups for weight in group["params"])
    assert held_of(trial, trial.model.parameters(10)) == held


SPEC = """
name: large
space:
  data: {{name: cifar10}}
  model: {{name: vgg11, width: {{choice: [0.125, 1, 4]}}, layer: {{kind: conv2d}}}}
resources: {{gpus_per_trial: {share}, gpu_mem_gb: {limit}}}
"""


def test_what_surely_does_not_fit_is_no_trial() -> None:
    assert parse_sweep(SPEC.format(share=1, limit=80)).planned() == 3
    half = parse_sweep(SPEC.format(share=0.5, limit=2))  # 1 GB a trial; VGG-11 needs 0.78, four times as wide 4.3
    assert half.planned() == 2
    assert parse_sweep(SPEC.format(share=0.25, limit=2)).planned() == 1


def test_another_share_of_the_gpu_is_another_sweep_where_it_decides_what_can_run() -> None:
    before = parse_sweep(SPEC.format(share=0.25, limit=20))
    (said,) = differences(before, parse_sweep(SPEC.format(share=1, limit=20)))
    assert said == "a trial's share of resources.gpu_mem_gb: 5.0 -> 20.0"
    assert not differences(before, parse_sweep(SPEC.format(share=0.5, limit=10)))
