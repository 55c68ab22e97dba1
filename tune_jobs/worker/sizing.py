"""How large a trial is, and how fast: its cost from the meta device, its speed from a few seconds of training here."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from convnn.data import DATASETS
from convnn.geometry import candidate_count, convnn_channels, patched, vit_tokens
from search_spaces import TrialConfig
from search_spaces.feasibility import layers, share
from search_spaces.memory import OPTIMIZER_BYTES
from search_spaces.trial import (
    VGG11,
    ConvNNAttention,
    ConvNNLayer,
    HybridAttention,
    HybridLayer,
    LocalAttention,
    ViTTiny,
)
from tune_jobs.results.summary import headline

if TYPE_CHECKING:
    from convnn.geometry import Stage

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


def work(config: TrialConfig) -> float:
    """About the multiplications of one image's forward pass, in closed form: enough to say which trial is larger."""
    model = config.model
    if isinstance(model, ViTTiny):
        return float(_vit_work(model))
    total = 49 * layers(model)[-1].out_channels * model.classifier_width + model.classifier_width**2
    for stage in layers(model):
        total += stage.side**2 * stage.out_channels**2 + _stage_work(model, stage)
    return float(total)


def _vit_work(model: ViTTiny) -> int:
    attention, dim = model.attention, model.dim
    tokens = vit_tokens(model.image_size, model.patch_size)
    inner = dim
    if isinstance(attention, LocalAttention):
        inner = model.heads * (attention.head_dim or dim // model.heads)
    mixing = inner * (4 * dim + 2 * tokens)  # projections, scores and values
    if isinstance(attention, ConvNNAttention | HybridAttention):
        options = attention.candidates.model_dump(include={"r", "stride", "when_too_few"})
        candidates = candidate_count((tokens,), attention.candidates.kind, k=attention.k, **options)
        ranks = attention.k * (dim if attention.aggregation == "standard" else 1)
        convnn = dim * (3 * dim + candidates + ranks + dim * (1 + (attention.aggregation == "depthwise_separable")))
        mixing = convnn if isinstance(attention, ConvNNAttention) else convnn + mixing + dim**2
    return model.depth * tokens * (mixing + 2 * dim * model.mlp_width)


def _stage_work(model: VGG11, stage: "Stage") -> int:
    layer = model.layer
    ours = convnn_channels(stage.out_channels, share(layer))
    pixels = stage.side**2
    kernel = getattr(layer, "kernel_size", 0)
    total: int = pixels * stage.in_channels * (stage.out_channels - ours) * kernel**2
    if ours and isinstance(layer, ConvNNLayer | HybridLayer):
        area = layer.patch**2
        options = layer.candidates.model_dump(include={"r", "stride", "side", "when_too_few"})
        shape = patched(stage.shape, layer.patch)
        candidates = candidate_count(shape, layer.candidates.kind, k=layer.k, padding=layer.padding, **options)
        channels, outputs = stage.in_channels * area, ours * area
        spread = channels if layer.aggregation == "standard" else 1
        total += pixels // area * (candidates * channels + layer.k * spread * outputs)
    return total


def cost_of(config: TrialConfig, images_per_s: float | None) -> TrialCost:
    from convnn.cost import measure_cost
    from tune_jobs.worker.attempt import build_model

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
    import torch

    from convnn.cost import flops, parameters, published_flops
    from convnn.geometry import IMAGE_SIDE
    from tune_jobs.worker.attempt import build_model

    shape = (1, 3, IMAGE_SIDE, IMAGE_SIDE)
    with torch.random.fork_rng(devices=[]):  # training goes on as if nothing had been measured
        with torch.device("meta"):
            model = build_model(config.model, DATASETS[config.data.name].classes)
        found = float(parameters(model)), flops(model, shape) / 1e9, published_flops(model, shape) / 1e9
    return dict(zip(SIZES, found, strict=True))


def measured(config: TrialConfig, device: str, threads: int) -> float:
    """Images per second of training steps on made-up images."""
    import torch
    from torch.nn import functional as F

    from convnn.training import autocast, placed, set_precision
    from tune_jobs.worker.attempt import build_model

    where, precision = torch.device(device), config.training.precision
    set_precision(precision, where)
    torch.set_num_threads(threads)
    classes, batch = DATASETS[config.data.name].classes, config.training.batch_size
    model = placed(build_model(config.model, classes), precision, where).train()
    optimizer = torch.optim.AdamW(model.parameters())
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
