"""How large a trial is, from a few images without weights; and how fast, from a few seconds of training here."""

import time
from dataclasses import dataclass
from typing import Any

from convnn.data import DATASETS
from search_spaces import TrialConfig
from search_spaces.headline import headline
from search_spaces.memory import OPTIMIZER_BYTES
from tune_jobs.worker.build import build_model

GRADIENT_BYTES = 4
"""Per parameter: what memory holds and a checkpoint does not."""

SIZES = ("params", "gflops", "gflops_published")
"""What is recorded of a trial's model, once."""

MEASURE_S = 3.0
"""How long a trial is measured."""


@dataclass(frozen=True)
class TrialCost:
    """One trial's size: a step's memory and a checkpoint in 10^9 bytes.

    Memory holds weights, gradients, optimizer and activations; a checkpoint holds weights and optimizer.
    """

    params: dict[str, Any]
    parameters: int
    gflops: float
    memory_gb: float
    checkpoint_gb: float
    images_per_s: float | None


def cost_of(config: TrialConfig, images_per_s: float | None) -> TrialCost:
    """The size of a trial, measured without memory; `images_per_s` is its speed where that is known."""
    from convnn.cost import measure_cost

    classes, training = DATASETS[config.data.name].classes, config.training
    cost = measure_cost(lambda: build_model(config.model, classes), batch_size=training.batch_size)
    per_parameter = OPTIMIZER_BYTES[training.optimizer]
    activations = cost.activation_bytes / (2 if training.precision == "bf16" else 1)
    return TrialCost(
        params=headline(config),
        parameters=cost.parameters,
        gflops=cost.flops / 1e9,
        memory_gb=(cost.parameters * per_parameter + activations) / 1e9,
        checkpoint_gb=cost.parameters * (per_parameter - GRADIENT_BYTES) / 1e9,
        images_per_s=images_per_s,
    )


def size_of(config: TrialConfig) -> dict[str, float]:
    """By the names of `SIZES`: parameters, and a forward pass in 10^9 operations, as we and as the paper count them."""
    from convnn.cost import operations, parameters, unwritten
    from convnn.geometry import IMAGE_SIDE

    model = unwritten(lambda: build_model(config.model, DATASETS[config.data.name].classes))
    counted = operations(model, (1, 3, IMAGE_SIDE, IMAGE_SIDE))
    return dict(zip(SIZES, (float(parameters(model)), counted.flops / 1e9, counted.published / 1e9), strict=True))


def measured(config: TrialConfig, device: str, threads: int) -> float:
    """Images per second of training steps on made-up images."""
    import torch
    from torch.nn import functional as F

    from convnn.optimizers import AdamW
    from convnn.training import autocast, set_precision, to_device

    where, precision = torch.device(device), config.training.precision
    set_precision(precision, where)
    torch.set_num_threads(threads)
    classes, batch = DATASETS[config.data.name].classes, config.training.batch_size
    model = to_device(build_model(config.model, classes), precision, where).train()
    optimizer = AdamW(model.parameters())
    images, labels = torch.randn(batch, 3, 32, 32, device=where), torch.randint(classes, (batch,), device=where)
    steps, begun = -1, time.monotonic()
    while steps < 1 or time.monotonic() - begun < MEASURE_S:
        with autocast(precision, where):
            logits = model(images)
        loss = F.cross_entropy(logits.float(), labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        loss.item()  # waits for the device
        steps += 1
        if steps == 0:  # the first step sets up memory and is not counted
            begun = time.monotonic()
    return steps * batch / (time.monotonic() - begun)
