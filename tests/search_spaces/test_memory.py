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
def test_closed_form_sizes_match_built_models_and_bound_a_steps_memory_from_below(model: Any) -> None:
    from convnn.cost import measure_cost
    from tune_jobs.worker.build import build_model

    trial = TrialConfig.model_validate({"model": model, "training": {"batch_size": 8, "optimizer": "sgd"}})
    if any(infeasibilities(trial)):
        return
    cost = measure_cost(lambda: build_model(trial.model, 10), batch_size=8)
    assert (trial.model.parameters(10), trial.model.flops(10)) == (cost.parameters, cost.flops)
    least = least_memory_gb(trial) * 1e9 - 12 * cost.parameters
    assert 0 < least <= cost.activation_bytes


def test_closed_form_sizes_match_the_models_of_the_presets() -> None:
    """Test the smallest, middle and largest model of each preset by FLOPs; CIFAR-100 only changes the classes."""
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
def test_the_parameters_held_in_training_are_those_of_the_optimizer(optimizer: str) -> None:
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


def test_configurations_that_certainly_do_not_fit_are_not_trials() -> None:
    assert parse_sweep(SPEC.format(share=1, limit=80)).planned() == 3
    half = parse_sweep(SPEC.format(share=0.5, limit=2))  # 1 GB per trial; VGG-11 needs 0.78, at width 4 4.3
    assert half.planned() == 2
    assert parse_sweep(SPEC.format(share=0.25, limit=2)).planned() == 1


def test_another_share_of_the_gpu_is_another_sweep_if_it_affects_feasibility() -> None:
    before = parse_sweep(SPEC.format(share=0.25, limit=20))
    (said,) = differences(before, parse_sweep(SPEC.format(share=1, limit=20)))
    assert said == "a trial's share of resources.gpu_mem_gb: 5.0 -> 20.0"
    assert not differences(before, parse_sweep(SPEC.format(share=0.5, limit=10)))
