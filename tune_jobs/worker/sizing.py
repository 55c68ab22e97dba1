"""The size of a trial, from closed forms or its model; and its speed, from a few seconds of training here."""

from dataclasses import dataclass
from typing import Any

from convnn.data import DATASETS
from search_spaces import TrialConfig
from search_spaces.headline import headline
from search_spaces.memory import OPTIMIZER_BYTES, held_of, needed_gb
from search_spaces.models.base import Kept
from tune_jobs.worker.build import build_model, build_recipe

GRADIENT_BYTES = 4
"""Bytes per parameter that memory holds and a checkpoint does not."""

SIZES = ("params", "gflops", "gflops_published")
"""Numbers recorded once about a trial's model."""

MEASURE_S = 3.0
"""Duration of a speed measurement."""


@dataclass(frozen=True)
class TrialCost:
    """The size of one trial: its peak memory and its checkpoint, in 10^9 bytes.

    On a GPU, memory is GPU memory: weights, gradients, optimizer and activations. On the CPU, it is all memory of the
    process. A checkpoint holds weights and optimizer state.
    """

    params: dict[str, Any]
    parameters: int
    gflops: float
    memory_gb: float
    checkpoint_gb: float
    images_per_s: float | None = None


def cost_of(config: TrialConfig, *, gpu: bool = False) -> TrialCost:
    """Compute a trial's size from closed forms; a model without them is built, which needs torch.

    Args:
        config: The trial.
        gpu: Whether it trains on a GPU.
    """
    classes, model = DATASETS[config.data.name].classes, config.model
    parameters, flops, kept = model.parameters(classes), model.flops(classes), model.kept(classes)
    if flops is None or kept is None:
        parameters, flops, kept = _by_building(config, classes)
    per_parameter, held = OPTIMIZER_BYTES[config.training.optimizer], held_of(config, parameters)
    return TrialCost(
        params=headline(config),
        parameters=parameters,
        gflops=flops / 1e9,
        memory_gb=needed_gb(config, parameters, kept, gpu=gpu),
        checkpoint_gb=held * (per_parameter - GRADIENT_BYTES) / 1e9,
    )


def _by_building(config: TrialConfig, classes: int) -> tuple[int, int, list[Kept]]:
    """Return the parameters, the FLOPs of a forward pass, and what a training step keeps in memory per image."""
    from convnn.cost import measure_cost

    batch = 16
    cost = measure_cost(lambda: build_model(config.model, classes), batch_size=batch)
    return cost.parameters, cost.flops, [Kept(cost.activation_bytes // (4 * batch), 0)]


def size_of(config: TrialConfig) -> dict[str, float]:
    """Return by name of `SIZES`: parameters, and 10^9 operations of a forward pass by our and by the paper's count."""
    from convnn.cost import operations, parameters, unwritten
    from convnn.geometry import IMAGE_SIDE

    model = unwritten(lambda: build_model(config.model, DATASETS[config.data.name].classes))
    counted = operations(model, (1, 3, IMAGE_SIDE, IMAGE_SIDE))
    return dict(zip(SIZES, (float(parameters(model)), counted.flops / 1e9, counted.published / 1e9), strict=True))


def measured(config: TrialConfig, device: str, threads: int) -> float:
    """Measure the images per second of training, on synthetic images."""
    import numpy as np
    import torch

    from convnn.data.batches import Batches
    from convnn.data.cache import Images
    from convnn.layers import ConvNN
    from convnn.training import TrainState, fit

    torch.set_num_threads(threads)
    facts, batch = DATASETS[config.data.name], config.training.batch_size
    recipe = build_recipe(config.training.model_copy(update={"epochs": 3, "schedule": "constant", "lr": 1e-9}))
    state = TrainState.create(lambda: build_model(config.model, facts.classes), recipe, device)
    for part in state.model.modules():
        if isinstance(part, ConvNN):
            part.remembered = None  # in a first epoch, every image is new
    rng = np.random.default_rng(0)
    made = Images(rng.integers(0, 256, (batch, 32, 32, 3), dtype=np.uint8), rng.integers(0, facts.classes, batch))
    rate, steps = 0.0, 1
    for _ in range(recipe.epochs):  # the first warms up, the second tells how many steps fill the time
        images = Batches(made, np.tile(np.arange(batch), steps), facts, device)
        rate = next(iter(fit(state, recipe, images))).images_per_s
        steps = max(1, round(MEASURE_S * rate / batch))
    return rate
