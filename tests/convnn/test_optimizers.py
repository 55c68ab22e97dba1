"""Compare with torch's own optimizers."""

import copy
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

import pytest
import torch
from torch import nn

from convnn import optimizers
from convnn.aggregation import rank_convolution

CODE = """
import sys
import numpy as np
from convnn import Recipe, TrainState, fit, vgg11
from convnn.data.batches import Batches
from convnn.data.cache import Images
from convnn.data.facts import DATASETS
images = Images(np.zeros((4, 32, 32, 3), np.uint8), np.arange(4))
part = Batches(images, np.arange(4), DATASETS["digits"])
for optimizer in ("adamw", "sgd"):
    recipe = Recipe(epochs=1, batch_size=2, optimizer=optimizer)
    state = TrainState.create(lambda: vgg11(10, 0.5, width=0.0625, classifier_width=16), recipe)
    assert len(list(fit(state, recipe, part, val=part))) == 1
    state.optimizer.load_state_dict(state.optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""


def twins() -> tuple[nn.Module, nn.Module]:
    """Return two models with equal weights, some of them not contiguous, as in a convolution over ranks."""
    torch.manual_seed(0)
    first = nn.Sequential(nn.Linear(5, 6), nn.Tanh(), nn.Unflatten(1, (2, 3)), rank_convolution(2, 4, 3), nn.Flatten())
    return first, copy.deepcopy(first)


def gradients(models: Iterable[nn.Module], scale: float = 1.0) -> None:
    x = torch.randn(4, 5)
    for model in models:
        model.zero_grad()
        (scale * model(x).square().sum()).backward()


@pytest.mark.parametrize("clip_norm", [None, 0.5, 1e9])
@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_a_step_equals_torchs_plain_optimizer_on_clipped_gradients(name: str, clip_norm: float | None) -> None:
    ours, theirs = twins()
    options: dict[str, Any] = {"lr": 0.01, "weight_decay": 0.01} | ({"momentum": 0.9} if name == "SGD" else {})
    optimizer = getattr(optimizers, name)(ours.parameters(), fused=True, **options)
    oracle = getattr(torch.optim, name)(theirs.parameters(), foreach=False, **options)
    for _ in range(30):
        gradients((ours, theirs))
        norm = nn.utils.clip_grad_norm_(theirs.parameters(), clip_norm or float("inf"))
        oracle.step()
        torch.testing.assert_close(optimizer.clipped_step(clip_norm), norm, rtol=1e-5, atol=0)
    for one, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("clip_norm", [None, 1.0])
@pytest.mark.parametrize("name", ["AdamW", "SGD"])
@pytest.mark.parametrize("wrong", [float("nan"), float("inf"), -float("inf")])
def test_a_step_that_is_not_finite_changes_nothing(name: str, clip_norm: float | None, wrong: float) -> None:
    ours, twin = twins()
    optimizer, other = (getattr(optimizers, name)(model.parameters(), lr=0.1, fused=True) for model in (ours, twin))
    for step in range(4):
        gradients((ours, twin))
        if step == 2:
            kept = copy.deepcopy(ours.state_dict())
            first = next(ours.parameters()).grad
            assert first is not None
            first[0, 0] = wrong
            assert not optimizer.clipped_step(clip_norm).isfinite()
            assert all(torch.equal(weight, ours.state_dict()[key]) for key, weight in kept.items())
            gradients((ours, twin))
        assert optimizer.clipped_step(clip_norm).isfinite()
        other.clipped_step(clip_norm)
    assert all(torch.equal(one, two) for one, two in zip(ours.parameters(), twin.parameters(), strict=True))


def test_a_group_of_copies_counts_once_per_copy_in_the_norm() -> None:
    first, second = nn.Linear(3, 2, bias=False), nn.Linear(3, 2, bias=False)
    groups = [{"params": first.parameters()}, {"params": second.parameters(), optimizers.COPIES: 49}]
    optimizer = optimizers.AdamW(groups, lr=0.1, fused=True)
    gradients([nn.Sequential(nn.Linear(5, 3), first), nn.Sequential(nn.Linear(5, 3), second)])
    one, many = (layer.weight.grad for layer in (first, second))
    assert one is not None
    assert many is not None
    expected = (one.square().sum() + 49 * many.square().sum()).sqrt()
    torch.testing.assert_close(optimizer.clipped_step(1.0), expected)


def test_training_does_not_load_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
