"""Train a folded layer and the published one side by side."""

import copy
import functools
import itertools
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.checkpoint import load_checkpoint, save_checkpoint
from convnn.data.batches import Batches
from convnn.data.cache import Images
from convnn.data.facts import DATASETS
from convnn.folding import FoldError, fold, unfold
from convnn.models.vgg import vgg11
from convnn.models.vit import vit_tiny
from convnn.training import Recipe, TrainState, fit, published_weights

SMALL: dict[str, Any] = {"width": 1 / 16, "classifier_width": 12, "k": 3}
build = functools.partial(vgg11, 10, 0.5, **SMALL)
RECIPE = Recipe(lr=3e-3, epochs=3, batch_size=16, weight_decay=0.1, clip_norm=0.7, schedule="cosine", seed=4)
FIRST = "classifier.0.weight"


@functools.cache
def part() -> Batches:
    rng = np.random.default_rng(0)
    made = Images(rng.integers(0, 256, (72, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 72))
    return Batches(made, np.arange(72), DATASETS["cifar10"])


def plainly(model: nn.Module, recipe: Recipe, steps: int) -> Tensor:
    """Return the losses of the published layer, with torch's own optimizer and clipping."""
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr, weight_decay=recipe.weight_decay, foreach=False)
    losses = []
    images, labels = inputs()
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = recipe.lr * 0.5 * (1 + math.cos(math.pi * step / steps))
        loss = F.cross_entropy(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        gradients = [weight.grad for weight in model.parameters() if weight.grad is not None]
        scale = (nn.utils.get_total_norm(gradients) + 1e-6) / (recipe.clip_norm or math.inf)
        torch._foreach_div_(gradients, scale.clamp_min(1).float().item())  # as in torch's fused step
        optimizer.step()
        losses.append(loss.detach())
    return torch.stack(losses)


def folded(state: TrainState, recipe: Recipe, steps: int) -> Tensor:
    """Return the losses of a state with a folded layer."""
    torch.manual_seed(1)
    losses = []
    images, labels = inputs()
    for step in range(steps):
        loss = F.cross_entropy(state.model(images), labels)
        state.optimizer.zero_grad()
        loss.backward()
        state.set_rate(recipe.lr * 0.5 * (1 + math.cos(math.pi * step / steps)), None)
        state.optimizer.clipped_step(recipe.clip_norm)
        losses.append(loss.detach())
    return torch.stack(losses)


@functools.cache
def inputs() -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(16, 3, 32, 32, generator=generator, dtype=torch.float64), torch.arange(16) % 10


def test_200_clipped_steps_equal_those_of_the_published_layer_in_double_precision() -> None:
    def make() -> nn.Module:
        return vgg11(10, 0.0, dropout=0.3, **SMALL).double()

    torch.manual_seed(RECIPE.seed)
    plain = make()
    start = copy.deepcopy(plain)
    state = TrainState.create(make, RECIPE)
    assert state.model.get_parameter(FIRST).numel() * 49 == plain.get_parameter(FIRST).numel()
    ours, theirs = folded(state, RECIPE, 200), plainly(plain, RECIPE, 200)
    torch.testing.assert_close(ours, theirs, rtol=1e-9, atol=0)
    assert theirs[-10:].mean() < 0.8 * theirs[0]  # it has learned
    assert state.fold is not None
    weights = unfold(state.model.state_dict(), state.fold, start)
    for name, weight in plain.state_dict().items():
        torch.testing.assert_close(weights[name], weight, rtol=1e-7, atol=1e-9, msg=name)


def test_in_single_precision_an_epochs_results_are_close_and_the_model_is_the_published_one(
    tmp_path: Path,
) -> None:
    recipe = replace(RECIPE, epochs=2)
    state = TrainState.create(build, recipe)
    results = list(fit(state, recipe, part()))
    state.save(tmp_path / "state.pt")
    weights = published_weights(tmp_path / "state.pt", build, recipe)
    whole = build()
    whole.load_state_dict(weights)
    images, _ = next(part().iterate(torch.arange(72), 72))
    torch.testing.assert_close(whole.eval()(images), state.model.eval()(images), rtol=1e-4, atol=1e-5)
    assert weights[FIRST].shape == (12, 49 * state.model.get_parameter(FIRST).shape[1])

    plain = TrainState.create(build, recipe)
    plain._unfold()
    torch.manual_seed(recipe.seed)
    plain.model.load_state_dict(build().state_dict())
    for ours, theirs in zip(results, fit(plain, recipe, part()), strict=True):
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=2e-3)


def test_a_resumed_folded_training_is_identical_bit_for_bit(tmp_path: Path) -> None:
    whole, state = TrainState.create(build, RECIPE), TrainState.create(build, RECIPE)
    list(fit(whole, RECIPE, part()))
    for _ in range(RECIPE.epochs):
        next(iter(fit(state, RECIPE, part())))
        state.save(tmp_path / "state.pt")
        state = TrainState.create(build, RECIPE)
        state.load(tmp_path / "state.pt")
    assert state.fold == whole.fold
    for one, other in itertools.zip_longest(state.model.state_dict().values(), whole.model.state_dict().values()):
        assert torch.equal(one, other)


def test_a_state_that_started_with_the_whole_layer_continues_with_it(tmp_path: Path) -> None:
    torch.manual_seed(RECIPE.seed)
    model = build()
    optimizer = torch.optim.AdamW(model.parameters(), lr=RECIPE.lr, weight_decay=RECIPE.weight_decay)
    new = TrainState.create(build, RECIPE)
    older = {
        "version": 1,
        "identity": "",
        "epoch": 0,
        "model": model.state_dict(),
        "optimizer": optimizer.state_dict(),
        "random": new.random,
    }
    save_checkpoint(older, tmp_path / "older.pt")
    new.load(tmp_path / "older.pt")
    assert new.fold is None
    assert new.model.get_parameter(FIRST).shape == model.get_parameter(FIRST).shape
    next(iter(fit(new, RECIPE, part())))
    new.save(tmp_path / "now.pt")
    again = TrainState.create(build, RECIPE)
    again.load(tmp_path / "now.pt")
    assert (again.fold, again.note) == (None, None)
    weights = published_weights(tmp_path / "now.pt", build, RECIPE)
    assert torch.equal(weights[FIRST], new.model.get_parameter(FIRST))
    for state in (new, again):
        list(fit(state, RECIPE, part()))
    assert all(
        torch.equal(one, other)
        for one, other in zip(new.model.state_dict().values(), again.model.state_dict().values(), strict=True)
    )


def test_weights_that_the_seed_no_longer_draws_are_an_error(tmp_path: Path) -> None:
    state = TrainState.create(build, RECIPE)
    state.save(tmp_path / "state.pt")
    with pytest.raises(FoldError, match="cannot be drawn again"):
        published_weights(tmp_path / "state.pt", build, replace(RECIPE, seed=5))
    content = load_checkpoint(tmp_path / "state.pt")
    assert torch.equal(
        published_weights(tmp_path / "state.pt", build, RECIPE)["classifier.3.weight"],
        content["model"]["classifier.3.weight"],
    )


def test_sgd_and_models_without_such_a_layer_are_not_folded() -> None:
    assert TrainState.create(build, replace(RECIPE, optimizer="sgd")).fold is None
    assert fold(vit_tiny(10, "attention")) is None
