import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from convnn.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from convnn.data import load_dataset, stratified_split
from convnn.data.batches import Batches
from convnn.models.vgg import vgg11
from convnn.training import Diverged, EpochResult, Recipe, TrainState, evaluate, fit
from tests.convnn.ties import lowest_index_first

RECIPE = Recipe(lr=1e-3, epochs=3, batch_size=16, augmentation="flip_shift", seed=5)


def build() -> nn.Module:
    """Build a small VGG with all random parts: dropout and random candidates."""
    return vgg11(10, 0.5, width=1 / 16, classifier_width=16, k=3, candidates="random", r=8)


@functools.cache
def parts() -> tuple[Batches, Batches]:
    data = load_dataset("digits")
    train, val = stratified_split(data.train.labels[:100], 0.2, seed=0)
    return Batches(data.train, train, data.facts), Batches(data.train, val, data.facts)


def numbers(results: list[EpochResult]) -> list[dict[str, float]]:
    timing = ("epoch_s", "images_per_s")
    return [{name: value for name, value in r.metrics().items() if name not in timing} for r in results]


def run(recipe: Recipe = RECIPE, make: Callable[[], nn.Module] = build) -> tuple[TrainState, list[dict[str, float]]]:
    state = TrainState.create(make, recipe)
    return state, numbers(list(fit(state, recipe, parts()[0], val=parts()[1])))


def weights(state: TrainState) -> list[torch.Tensor]:
    return list(state.model.state_dict().values())


def test_the_same_configuration_gives_the_same_numbers_bit_for_bit() -> None:
    (first, one), (second, two) = run(), run()
    assert one == two
    assert all(torch.equal(a, b) for a, b in zip(weights(first), weights(second), strict=True))


def test_a_model_is_compiled_once_for_any_batch_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="aot_eager"))  # needs no compiler
    recipe = replace(RECIPE, batch_size=15, epochs=2)  # 80 training and 20 validation images
    with lowest_index_first():  # many tokens of a digit image are equal
        _, plain = run(recipe)
        torch._dynamo.utils.counters.clear()
        _, compiled = run(replace(recipe, compile=True))
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] == 1
    for ours, expected in zip(compiled, plain, strict=True):
        assert ours == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("schedule", ["constant", "cosine"])
def test_stopping_and_resuming_changes_no_bit(tmp_path: Path, schedule: str) -> None:
    recipe = replace(RECIPE, schedule=schedule)  # type: ignore[arg-type]
    whole, expected = run(recipe)
    state = TrainState.create(build, recipe)
    seen: list[EpochResult] = []
    for result in fit(state, recipe, parts()[0], val=parts()[1]):
        seen.append(result)
        state.save(tmp_path / "state.pt")
        torch.randn(11)  # another user of the global generator
        state = TrainState.create(build, replace(recipe, seed=99))
        state.load(tmp_path / "state.pt")
        break
    seen += fit(state, recipe, parts()[0], val=parts()[1])
    assert numbers(seen) == expected
    assert all(torch.equal(a, b) for a, b in zip(weights(whole), weights(state), strict=True))


@pytest.mark.parametrize("fixed", [False, True])
def test_evaluation_does_not_change_training(fixed: bool) -> None:
    def trained(**parts_: Batches) -> list[torch.Tensor]:
        make = functools.partial(
            vgg11, 10, 0.5, width=1 / 16, classifier_width=16, k=3, candidates="random", r=8, fixed_at_evaluation=fixed
        )
        state = TrainState.create(make, RECIPE)
        list(fit(state, RECIPE, parts()[0], **parts_))
        return weights(state)

    train, val = parts()
    alone = trained()
    for evaluated in ({"val": val}, {"val": train, "test": val}):
        assert all(torch.equal(a, b) for a, b in zip(alone, trained(**evaluated), strict=True))


def test_evaluation_restores_mode_and_random_states() -> None:
    state = TrainState.create(build, RECIPE)
    for mode in (True, False):
        state.model.train(mode)
        before = torch.get_rng_state()
        evaluate(state.model, parts()[1], RECIPE)
        assert torch.equal(torch.get_rng_state(), before)
        assert state.model.training is mode


def test_training_resumes_from_a_state_of_version_1_with_a_note(tmp_path: Path) -> None:
    state = TrainState.create(build, RECIPE)
    next(iter(fit(state, RECIPE, parts()[0])))
    state.save(tmp_path / "state.pt")
    content = load_checkpoint(tmp_path / "state.pt")
    for version in (1, 3):
        save_checkpoint({**content, "version": version}, tmp_path / f"{version}.pt")
    older = TrainState.create(build, RECIPE)
    older.load(tmp_path / "1.pt")
    assert (older.epoch, state.note) == (1, None)
    assert "The first 1 epochs were trained with version 0.1.0" in (older.note or "")
    with pytest.raises(CheckpointError, match="has state version 3, but this program reads versions 1 to 2"):
        older.load(tmp_path / "3.pt")


def test_moments_with_another_memory_layout_keep_their_weights(tmp_path: Path) -> None:
    """Version 0.1.0 wrote such moments for depthwise convolutions, and a GPU for any layer."""
    make = functools.partial(vgg11, 10, 1.0, width=1 / 16, classifier_width=16, k=3, aggregation="depthwise")
    recipe = replace(RECIPE, epochs=2)
    state = TrainState.create(make, recipe)
    next(fit(state, recipe, parts()[0]))
    state.save(tmp_path / "as-it-is.pt")
    content = load_checkpoint(tmp_path / "as-it-is.pt")
    moments = [moment for kept in content["optimizer"]["state"].values() for moment in kept.values()]
    assert any(not moment.is_contiguous() for moment in moments)
    for kept in content["optimizer"]["state"].values():
        kept.update({name: moment.contiguous() for name, moment in kept.items()})
    save_checkpoint(content, tmp_path / "contiguous.pt")
    ends = []
    for name in ("as-it-is.pt", "contiguous.pt"):
        again = TrainState.create(make, recipe)
        again.load(tmp_path / name)
        list(fit(again, recipe, parts()[0]))
        ends.append(weights(again))
    assert all(torch.equal(a, b) for a, b in zip(*ends, strict=True))


def test_two_trainings_in_turn_do_not_disturb_each_other() -> None:
    _, alone = run()
    states = [TrainState.create(build, RECIPE) for _ in range(2)]
    both = zip(*(fit(state, RECIPE, parts()[0], val=parts()[1]) for state in states), strict=True)
    for left, right in both:
        assert numbers([left]) == numbers([right]) == [alone[left.epoch - 1]]


def test_the_seed_covers_initial_weights_and_order() -> None:
    initial = [
        torch.cat([p.flatten() for p in TrainState.create(build, r).model.parameters()])
        for r in (RECIPE, RECIPE, replace(RECIPE, seed=6))
    ]
    assert torch.equal(initial[0], initial[1])
    assert not torch.equal(initial[0], initial[2])

    def seen(seed: int) -> list[int]:
        order: list[int] = []

        class Spy(Batches):
            def iterate(self, order_: torch.Tensor, *rest: object) -> object:  # type: ignore[override]
                order.extend(order_.tolist())
                return super().iterate(order_, *rest)  # type: ignore[arg-type]

        data = load_dataset("digits")
        recipe = replace(RECIPE, seed=seed, epochs=1)
        list(fit(TrainState.create(build, recipe), recipe, Spy(data.train, np.arange(40), data.facts)))
        return order

    assert seen(1) == seen(1) != seen(2)
    assert sorted(seen(1)) == list(range(40))


def test_the_results_equal_those_of_a_plain_evaluation() -> None:
    train, val = parts()
    recipe = replace(RECIPE, epochs=1)
    state = TrainState.create(lambda: vgg11(10, width=1 / 16, classifier_width=16), recipe)
    (result,) = fit(state, recipe, train, val=val, test=val)
    state.model.eval()
    ((images, labels),) = val.iterate(torch.arange(len(val)), len(val))
    with torch.no_grad():
        logits = state.model(images)
    assert result.val_accuracy == (logits.argmax(-1) == labels).double().mean().item()
    assert result.val_loss == pytest.approx(nn.functional.cross_entropy(logits, labels).item(), rel=1e-5)
    assert (result.test_loss, result.test_accuracy) == (result.val_loss, result.val_accuracy)
    assert result.images_per_s == pytest.approx(len(train) / result.epoch_s)


def test_an_epoch_is_adamw_on_clipped_gradients() -> None:  # oracle: an explicit loop without our classes
    recipe = Recipe(lr=1e-2, epochs=1, batch_size=80)
    make = functools.partial(nn.Sequential, nn.Flatten(), nn.Linear(3072, 10))
    state = TrainState.create(make, recipe)
    torch.manual_seed(0)
    model = make()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2, weight_decay=0.01)
    order = torch.randperm(80, generator=torch.Generator().manual_seed(0))
    ((images, labels),) = parts()[0].iterate(order, 80)
    nn.functional.cross_entropy(model(images), labels).backward()
    norm = nn.utils.clip_grad_norm_(model.parameters(), 1.0)
    optimizer.step()
    list(fit(state, recipe, parts()[0]))
    assert norm > 1
    for ours, theirs in zip(state.model.parameters(), model.parameters(), strict=True):
        torch.testing.assert_close(ours, theirs, rtol=0, atol=0)


def test_a_loss_that_is_not_finite_ends_the_training_with_epoch_and_step() -> None:
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3072, 10)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += self.training
            out: torch.Tensor = self.linear(x.flatten(1))
            return out * torch.inf if self.calls == 8 else out

    state = TrainState.create(Explodes, RECIPE)  # 80 images in batches of 16: 5 steps per epoch
    with pytest.raises(Diverged, match=r"the loss became nan at epoch 2, step 3; try a smaller learning rate"):
        list(fit(state, RECIPE, parts()[0]))


@pytest.mark.parametrize("part", ["validation", "test"])
def test_a_non_finite_evaluation_is_reported_with_its_epoch(part: str) -> None:
    class Explodes(nn.Module):
        """Outputs are finite in training, but not in evaluation from the second one on."""

        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3 * 32 * 32, 10)
            self.calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += not self.training
            out: torch.Tensor = self.linear(x.flatten(1))
            return out * torch.inf if self.calls > 2 and not self.training else out

    state = TrainState.create(Explodes, RECIPE)  # 20 images in batches of 16: 2 steps per evaluation
    train, other = parts()
    results = fit(state, RECIPE, train, **{"val" if part == "validation" else "test": other})
    assert next(results).epoch == 1
    with pytest.raises(Diverged, match=rf"the {part} loss became nan at epoch 2; try a smaller learning rate"):
        next(results)


@pytest.mark.parametrize(
    "change",
    [
        {"precision": "bf16"},
        {"optimizer": "sgd"},
        {"clip_norm": None},
        {"label_smoothing": 0.1},
        {"weight_decay": 0.5},
        {"schedule": "cosine"},
    ],
)
def test_every_part_of_the_recipe_has_an_effect(change: dict[str, object]) -> None:
    recipe = replace(RECIPE, augmentation="none", epochs=2, lr=1e-2)
    assert run(replace(recipe, **change))[1] != run(recipe)[1]  # type: ignore[arg-type]


def test_bf16_trains() -> None:
    _, results = run(replace(RECIPE, precision="bf16", augmentation="none", epochs=6))
    assert results[-1]["train/loss"] < results[0]["train/loss"]


def test_tf32_on_the_cpu_is_rejected() -> None:
    with pytest.raises(ValueError, match="tf32 needs an NVIDIA GPU"):
        run(replace(RECIPE, precision="tf32"))


@pytest.mark.parametrize("harm", ["truncated", "flipped", "empty", "foreign"])
def test_a_damaged_checkpoint_is_rejected_with_its_path(tmp_path: Path, harm: str) -> None:
    path = tmp_path / "state.pt"
    TrainState.create(build, RECIPE).save(path)
    data = bytearray(path.read_bytes())
    if harm == "truncated":
        data = data[: len(data) // 2]
    elif harm == "flipped":
        data[len(data) // 2] ^= 1
    elif harm == "empty":
        data = bytearray()
    else:
        data = bytearray(b"PK\x03\x04" + b"x" * 500)
    path.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"state\.pt is damaged or not a checkpoint"):
        TrainState.create(build, RECIPE).load(path)


def test_the_checkpoint_of_another_model_is_rejected(tmp_path: Path) -> None:
    TrainState.create(build, RECIPE).save(tmp_path / "state.pt")
    other = TrainState.create(lambda: vgg11(10, 0.0, width=1 / 8), RECIPE)
    with pytest.raises(CheckpointError, match=r"state\.pt is the checkpoint of another configuration"):
        other.load(tmp_path / "state.pt")
