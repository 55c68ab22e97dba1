"""The operation, the models and the training loop on an NVIDIA GPU, against the CPU and float64.

    pytest tests/gpu/numbers.py

It needs neither Ray nor MLflow.
"""

import copy
import functools
import itertools
import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn import candidates
from convnn.attention import ConvNNAttention
from convnn.data import load_dataset, stratified_split
from convnn.data.batches import Batches
from convnn.layers import ConvNN2d
from convnn.models.vgg import vgg11
from convnn.selection import select_neighbors
from convnn.similarity import SIMILARITIES, Similarity
from convnn.training import Diverged, EpochResult, Recipe, TrainState, fit
from search_spaces import Decided, TrialConfig, infeasibilities, load_sweep, presets
from search_spaces.memory import least_memory_gb
from tests.convnn.test_golden import NAMES, expect_as_recorded
from tune_jobs.worker.build import build_model
from tune_jobs.worker.sizing import cost_of

RECIPE = Recipe(lr=1e-3, epochs=6, batch_size=64, seed=5)
"""Enough to learn a good part of the digits."""

PRECISIONS = {"fp32": 3e-6, "tf32": 3e-3, "bf16": 3e-2}
"""The largest error of a layer, in the norm, against float64 with the same neighbors."""


pytestmark = pytest.mark.filterwarnings("default:Attempting to run cuBLAS")  # autograd's thread is the first to use it


def small(share: float = 0.5) -> nn.Module:
    options: dict[str, Any] = {"k": 9, "candidates": "random", "r": 32, "when_too_few": "all"}
    return vgg11(10, share, width=1 / 4, classifier_width=64, dropout=0.0, **options)


@functools.cache
def parts() -> tuple[Batches, Batches]:
    data = load_dataset("digits")
    train, val = stratified_split(data.train.labels, 0.2, seed=0)
    return Batches(data.train, train, data.facts, "cuda"), Batches(data.train, val, data.facts, "cuda")


def run(recipe: Recipe, make: Callable[[], nn.Module] = small) -> list[EpochResult]:
    return list(fit(TrainState.create(make, recipe, "cuda"), recipe, parts()[0], val=parts()[1]))


@pytest.fixture(autouse=True)
def _precision() -> Iterator[None]:
    yield
    torch.set_float32_matmul_precision("highest")
    torch.backends.cudnn.allow_tf32 = False


@pytest.mark.parametrize("implementation", ["default", "naive"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_gradients_equal_the_authors_recorded_layer(name: str, implementation: str) -> None:
    expect_as_recorded(name, implementation, "cuda")


def drawn(preset: str, count: int) -> list[TrialConfig]:
    """Return feasible trials of a preset's space."""
    space, rng = load_sweep(preset).space, random.Random(0)
    found = (space.resolve(Decided(space.draw(rng))) for _ in range(10 * count))
    return list(islice((trial for trial in found if not any(infeasibilities(trial))), count))


def trials() -> list[TrialConfig]:
    """Return one trial for each layer or attention drawn from the presets, in a small model."""
    found: dict[str, TrialConfig] = {}
    for name in presets.names():
        for trial in drawn(name, 6):
            model = trial.model
            less: dict[str, object] = {"width": 0.25, "classifier_width": 64}
            if model.name == "vit_tiny":
                less = {"depth": 2}
            elif getattr(model.mixing_layer, "position", "none") == "both":  # tokens of the padding tie
                less["layer"] = model.mixing_layer.model_copy(update={"position": "similarity"})
            found.setdefault(
                repr(model.mixing_layer), trial.model_copy(update={"model": model.model_copy(update=less)})
            )
    return list(found.values())


def test_every_model_of_the_presets_agrees_between_gpu_and_cpu(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def drawn_on_the_cpu(tokens: int, r: int, device: torch.device | None = None, *, fixed: bool = False) -> Tensor:
        del fixed
        return torch.randperm(tokens)[:r].to(device)

    monkeypatch.setattr(candidates, "random_candidates", drawn_on_the_cpu)
    tried = trials()
    assert len(tried) > 20
    for trial in tried:
        torch.manual_seed(0)
        model = build_model(trial.model, 10).double().eval()
        x = torch.randn(2, 3, 32, 32, dtype=torch.float64)
        results = []
        for device, order in (("cpu", None), ("cuda", None), ("cuda", torch.channels_last)):
            there = copy.deepcopy(model).to(device)
            if order:
                there.to(memory_format=order)
            torch.manual_seed(1)
            logits = there(x.to(device))
            F.cross_entropy(logits, torch.tensor([3, 7], device=device)).backward()
            results.append([logits, *(p.grad for p in there.parameters() if p.grad is not None)])
        for ours, *others in zip(*results, strict=True):
            for theirs in others:
                apart = (theirs.cpu() - ours).abs().max() / (ours.abs().max() or 1.0)
                assert apart <= 1e-9, f"{apart:.1e} apart: {trial.model}"


@pytest.mark.parametrize(
    ("kind", "precision"), [("attention", "fp32"), *(("image", precision) for precision in PRECISIONS)]
)
def test_the_error_of_a_layer_matches_its_precision(kind: str, precision: str) -> None:
    """In bf16 and TF32, attention's projections select other neighbors, so attention is compared only in fp32."""
    torch.manual_seed(0)
    layer: nn.Module
    if kind == "image":
        layer, x = ConvNN2d(64, 96, 9), torch.randn(16, 64, 16, 16)
    else:
        layer, x = ConvNNAttention(192, k=9, similarity="dot"), torch.randn(16, 197, 192)
    exact = copy.deepcopy(layer).double().cuda()(x.double().cuda())
    _use(precision)
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
        found = layer.cuda()(x.cuda())
    if kind == "image":
        exact, found = exact.flatten(2).mT, found.flatten(2).mT
    share = (found.double() - exact).norm(dim=-1) / exact.norm(dim=-1)  # of each token
    print(f"{kind} {precision}: median {share.median():.1e}, largest {share.max():.1e}")
    assert share.median() < PRECISIONS[precision]
    assert (share < 10 * PRECISIONS[precision]).double().mean() > 0.99  # all except near ties between neighbors


@pytest.mark.parametrize("kind", SIMILARITIES)
@pytest.mark.parametrize("precision", ["tf32", "bf16"])
def test_neighbors_are_selected_in_float32_at_any_training_precision(precision: str, kind: Similarity) -> None:
    torch.manual_seed(0)
    x = torch.randn(8, 1024, 64, device="cuda")
    exact = select_neighbors(x, x, 9, similarity=kind)
    _use(precision)
    with torch.autocast("cuda", torch.bfloat16, enabled=precision == "bf16"):
        found = select_neighbors(x, x, 9, similarity=kind)
    assert torch.equal(found, exact)
    assert torch.get_float32_matmul_precision() == ("high" if precision == "tf32" else "highest")


def _use(precision: str) -> None:
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


@pytest.mark.parametrize("precision", PRECISIONS)
def test_a_small_model_learns(precision: str) -> None:
    results = run(replace(RECIPE, precision=precision, augmentation="flip_shift"))  # type: ignore[arg-type]
    plain = run(replace(RECIPE, precision=precision))  # type: ignore[arg-type]
    print(f"{precision}: val/accuracy {plain[-1].val_accuracy:.3f}, with augmentation {results[-1].val_accuracy:.3f}")
    assert plain[-1].val_accuracy is not None
    assert plain[-1].val_accuracy > 0.3  # runs vary from 0.40 to 0.77
    assert results[-1].train_loss < results[0].train_loss
    assert plain[-1].gpu_mem_gb


@pytest.mark.filterwarnings("default")  # torch's compiler uses deprecated functions of torch
def test_a_compiled_model_learns_the_same() -> None:
    plain, compiled = (run(replace(RECIPE, epochs=3, compile=how)) for how in (False, True))
    print([(p.train_loss, c.train_loss, p.epoch_s, c.epoch_s) for p, c in zip(plain, compiled, strict=True)])
    assert compiled[-1].train_loss < compiled[0].train_loss
    assert compiled[0].train_loss == pytest.approx(plain[0].train_loss, rel=0.05)


def test_the_first_epoch_agrees_with_the_cpu() -> None:
    """The model draws nothing on the device. Later epochs differ, because rounding does."""
    data = load_dataset("digits")
    recipe = replace(RECIPE, epochs=1, lr=1e-4)
    make = functools.partial(vgg11, 10, 0.5, width=1 / 8, classifier_width=32, dropout=0.0, k=9)
    train, _ = stratified_split(data.train.labels, 0.2, seed=0)
    (cpu,), (gpu,) = (
        list(fit(TrainState.create(make, recipe, d), recipe, Batches(data.train, train, data.facts, d)))
        for d in ("cpu", "cuda")
    )
    assert gpu.train_loss == pytest.approx(cpu.train_loss, rel=2e-3)


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_training_resumes_where_it_stopped(share: float, tmp_path: Path) -> None:
    """As closely as two full runs agree, which sum in a different order each time."""
    make = functools.partial(small, share)
    first, second = (_losses(run(RECIPE, make)) for _ in range(2))
    state = TrainState.create(make, RECIPE, "cuda")
    seen = list(islice(fit(state, RECIPE, *parts()[:1], val=parts()[1]), 3))
    state.save(tmp_path / "state.pt")
    torch.randn(7, device="cuda")
    state = TrainState.create(make, replace(RECIPE, seed=99), "cuda")
    state.load(tmp_path / "state.pt")
    resumed = _losses([*seen, *fit(state, RECIPE, parts()[0], val=parts()[1])])
    apart, again = (max(abs(a - b) / a for a, b in zip(first, other, strict=True)) for other in (second, resumed))
    print(f"lambda {share}: two runs differ by {apart:.1e}, the resumed one by {again:.1e}")
    assert again <= 10 * apart + 1e-6


def _losses(results: list[EpochResult]) -> list[float]:
    return [result.train_loss for result in results]


def test_a_nonfinite_loss_is_attributed_to_its_step_though_it_is_checked_later() -> None:
    class Explodes(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(3072, 10)
            self.calls = 0

        def forward(self, x: Tensor) -> Tensor:
            self.calls += self.training
            out: Tensor = self.linear(x.flatten(1))
            return out * torch.inf if self.calls == 7 else out

    with pytest.raises(Diverged, match=r"epoch 1, step 7;"):
        run(RECIPE, Explodes)


def test_the_memory_estimate_is_a_lower_bound() -> None:
    """The peak of two training steps is never below the estimated minimum."""
    data = load_dataset("digits")
    recipe = Recipe(epochs=1, batch_size=256)
    train = Batches(data.train, stratified_split(data.train.labels, 0.2, seed=0)[0][:512], data.facts, "cuda")
    for name in ("table1-cifar10", "vit-convnn", "vgg-hybrid"):
        for trial, precision in itertools.product(drawn(name, 3), ("fp32", "bf16")):
            chosen = replace(recipe, precision=precision)  # type: ignore[arg-type]
            training = trial.training.model_copy(update={"precision": precision, "batch_size": recipe.batch_size})
            config = trial.model_copy(update={"training": training})
            torch.cuda.empty_cache()
            state = TrainState.create(functools.partial(build_model, trial.model, 10), chosen, "cuda")
            (result,) = fit(state, chosen, train)
            assert result.gpu_mem_gb is not None
            least, about = least_memory_gb(config), cost_of(config, gpu=True).memory_gb
            print(f"{name} {precision}: at least {least:.2f}, planned {about:.2f}, peak {result.gpu_mem_gb:.2f} GB")
            assert least <= result.gpu_mem_gb
