from pathlib import Path

import pytest

from search_spaces import Decided
from search_spaces.memory import held_of
from tests.tune_jobs.planning.planned import spec
from tune_jobs.worker import attempt
from tune_jobs.worker.checkpoints import OneFile
from tune_jobs.worker.sizing import SIZES, cost_of, size_of


@pytest.mark.parametrize("optimizer", ["adamw", "sgd"])
def test_a_checkpoint_is_as_large_as_planned(tmp_path: Path, optimizer: str) -> None:
    sweep = spec(layer=" {kind: conv2d}", training=f"epochs: 1, optimizer: {optimizer}")
    (config, file) = sweep.space.resolve(Decided({})), tmp_path / "checkpoint.pt"
    list(attempt.train(config, sweep.evaluation, threads=1, checkpoints=OneFile(file, every_s=0)))
    assert file.stat().st_size / 1e9 == pytest.approx(cost_of(config).checkpoint_gb, rel=0.1)


def test_closed_forms_agree_with_measurements() -> None:
    config = spec(layer=" {kind: hybrid, lambda: 0.5, k: 9}").space.resolve(Decided({}))
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(type(config.model), "flops", lambda *_: None)
        built = cost_of(config, gpu=True)
    closed = cost_of(config, gpu=True)
    assert (closed.parameters, closed.gflops) == (built.parameters, built.gflops)
    assert closed.memory_gb == pytest.approx(built.memory_gb, rel=0.15)


def test_the_size_is_that_of_the_model_and_the_random_state_is_unchanged() -> None:
    import torch

    config = spec(layer=" {kind: convnn, k: 4}").space.resolve(Decided({}))
    before = torch.random.get_rng_state()
    found = size_of(config)
    assert torch.equal(torch.random.get_rng_state(), before)
    assert tuple(found) == SIZES
    assert found["params"] == config.model.parameters(10) == cost_of(config).parameters
    assert found["gflops"] == pytest.approx(cost_of(config).gflops)


def test_bf16_activations_take_half_the_memory() -> None:
    config, narrow = (
        spec(layer=" {kind: conv2d}", training=f"precision: {name}").space.resolve(Decided({}))
        for name in ("fp32", "bf16")
    )
    one, half = cost_of(config, gpu=True), cost_of(narrow, gpu=True)
    weights = held_of(config, one.parameters) * 16 / 1e9
    assert half.memory_gb - weights == pytest.approx((one.memory_gb - weights) / 2)
    assert one.checkpoint_gb == half.checkpoint_gb
