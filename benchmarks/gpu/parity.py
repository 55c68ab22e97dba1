"""Compare a model with itself in float64 on the CPU, before anything is timed."""

import functools
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.gpu.cases import CLASSES, Model, Size
from benchmarks.gpu.rows import Parity
from convnn.folding import fold
from convnn.layers import HybridBranch2d
from convnn.models.vit import Block
from convnn.precision import Precision, autocast, set_precision
from convnn.training import Recipe, TrainState

TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
"""Allowed error of a layer's output per image against float64, relative to its norm; also for fp32's logits."""

GRADIENT_TOLERANCE = 0.05
"""Allowed error of all gradients against float64, relative to their norm, if all layers chose the same neighbors."""

AGREE = 0.9
"""The fraction that must be within the tolerance."""


@dataclass(frozen=True)
class Reference:
    """A model in float64 on the CPU: its outputs, and those of its layers, for some images."""

    images: Tensor
    labels: Tensor
    logits: Tensor
    layers: dict[str, tuple[Tensor, Tensor]]
    """Input and output of each layer, by name."""

    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]
    """The state of the batch norms."""


def mixing_layers(model: nn.Module) -> dict[str, nn.Module]:
    """Return VGG's layers and ViT's blocks, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, HybridBranch2d | Block)}


def reference(model: Model, size: Size) -> Reference:
    """Run the model in float64 on the CPU, with the initial weights of training."""
    torch.manual_seed(Recipe().seed)
    exact = model.build(size, repeatable=True)
    fold(exact)
    exact.double()
    images = torch.randn(size.parity_images, 3, 32, 32).double()
    labels = torch.arange(size.parity_images) % CLASSES
    for part in exact.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the single pass in training mode sets mean and variance
    with torch.no_grad():
        exact.train()(images)
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name, part in mixing_layers(exact).items():
        part.register_forward_hook(functools.partial(_remember, seen, name))
    logits = exact.eval()(images)
    F.cross_entropy(logits, labels).backward()
    gradients = {name: weight.grad.float() for name, weight in exact.named_parameters() if weight.grad is not None}
    return Reference(images.float(), labels, logits.detach(), seen, gradients, dict(exact.named_buffers()))


def _remember(
    seen: dict[str, tuple[Tensor, Tensor]], name: str, _: nn.Module, given: tuple[Tensor, ...], output: Tensor
) -> None:
    seen[name] = given[0].detach().float(), output.detach().clone()


def check(model: Model, expected: Reference, precision: Precision, size: Size, device: str) -> Parity:
    """Compare a model on the device with itself in float64 on the CPU."""
    state = TrainState.create(
        functools.partial(model.build, size, repeatable=True), Recipe(precision=precision), device
    )
    set_precision(precision, state.device)
    ours = state.model.eval()
    for name, buffer in ours.named_buffers():
        buffer.copy_(expected.buffers[name])
    with autocast(precision, state.device):
        logits = ours(expected.images.to(device))
    errors, gradient = _error(logits.detach(), expected.logits), None
    if precision == "fp32":
        gradient = _gradient_error(ours, logits, expected)
    by_layer = []
    with torch.no_grad(), autocast(precision, state.device):
        for name, layer in mixing_layers(ours).items():
            given, output = expected.layers[name]
            by_layer.append(_error(layer(given.to(device)).flatten(1), output.flatten(1)))
    of_layers, limit = torch.cat(by_layer), TOLERANCES[precision]
    agree = int((of_layers <= limit).sum())
    right = agree >= AGREE * len(of_layers) and bool(errors.isfinite().all())
    if gradient is not None and agree == len(of_layers):  # otherwise a tie between neighbors was broken differently
        right = right and bool((errors <= limit).all()) and gradient <= GRADIENT_TOLERANCE
    return Parity(len(of_layers), agree, of_layers.max().item(), errors.median().item(), gradient, passed=right)


def _gradient_error(model: nn.Module, logits: Tensor, expected: Reference) -> float:
    F.cross_entropy(logits, expected.labels.to(logits.device)).backward()
    found = {name: weight.grad.flatten().cpu() for name, weight in model.named_parameters() if weight.grad is not None}
    theirs = [expected.gradients[name].flatten() for name in found]
    return _error(torch.cat(list(found.values())), torch.cat(theirs)).item()


def _error(found: Tensor, expected: Tensor) -> Tensor:
    """Return the norm of the difference divided by the norm of the expected values, along the last axis."""
    exact = expected.double()
    share: Tensor = (found.double().cpu() - exact).norm(dim=-1) / exact.norm(dim=-1)
    return share
