"""Single layers, in eager mode and as replay of a CUDA graph."""

import functools
import statistics
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from benchmarks.gpu.cases import Size
from benchmarks.gpu.rows import LayerRow
from benchmarks.gpu.watching import Clock
from convnn.attention import ConvNNAttention, SelfAttention
from convnn.layers import ConvNN2d
from convnn.precision import autocast, set_precision, to_device


@dataclass(frozen=True)
class Layer:
    """A layer and its input shape without the batch; `r` is set if candidates are drawn beforehand and passed to it."""

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    r: int | None = None


def layers(size: Size) -> list[Layer]:
    """Return the timed layers; the one that draws is last, because a failed capture makes the generator unusable."""
    tokens, convnn = (size.layer_tokens, 192), functools.partial(ConvNNAttention, 192, similarity="dot")
    return [
        Layer("ConvNN2d(64, 128), 16 x 16", lambda: ConvNN2d(64, 128), (64, 16, 16)),
        Layer("nn.Conv2d(64, 128), 16 x 16", lambda: nn.Conv2d(64, 128, 3, padding=1), (64, 16, 16)),
        Layer("ConvNN2d(3, 64), 32 x 32", lambda: ConvNN2d(3, 64), (3, 32, 32)),
        Layer("nn.Conv2d(3, 64), 32 x 32", lambda: nn.Conv2d(3, 64, 3, padding=1), (3, 32, 32)),
        Layer(f"SelfAttention(192), {tokens[0]} tokens", lambda: SelfAttention(192), tokens),
        Layer(f"ConvNNAttention(192), r 32 given, {tokens[0]} tokens", convnn, tokens, 32),
        Layer(
            f"ConvNNAttention(192), r 32, {tokens[0]} tokens",
            functools.partial(convnn, candidates="random", r=32),
            tokens,
        ),
    ]


def layer_pass(layer: Layer, row: LayerRow, device: str) -> Callable[[], object]:
    """Return a function that runs a forward and a backward pass of the layer."""
    torch.manual_seed(0)
    where = torch.device(device)
    set_precision(row.precision, where)
    module = to_device(layer.make(), row.precision, where)
    x = torch.randn(row.batch, *layer.shape, device=device).relu()
    if x.dim() == 4 and device == "cuda" and row.precision != "fp32":  # noqa: PLR2004 - images
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    given = () if layer.r is None else (torch.randperm(layer.shape[0])[: layer.r].to(device),)
    wanted = [x, *module.parameters()]

    def run() -> object:
        with autocast(row.precision, where):
            y: Tensor = module(x, *given)
        return torch.autograd.grad(y, wanted, torch.ones_like(y))

    return run


def time_passes(run: Callable[[], object], device: str, passes: int) -> float:
    """Return the milliseconds of one pass in a series of `passes`: the median of 5 rounds after a warm-up."""
    for _ in range(3):
        run()
    clock = Clock(device)
    clock.mark()
    for _ in range(5):
        for _ in range(passes):
            run()
        clock.mark()
    return statistics.median(clock.ms()) / passes


def replay(run: Callable[[], object], passes: int) -> float:
    """Return the milliseconds of one pass as replay of a CUDA graph.

    Raises:
        RuntimeError: If it cannot be captured.
    """
    before = torch.cuda.current_stream()
    stream = torch.cuda.Stream()
    stream.wait_stream(before)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(stream):
            for _ in range(3):
                run()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=stream):
            kept = run()
    finally:
        torch.cuda.set_stream(before)  # after a failed capture, torch does not restore the stream
        torch.cuda.synchronize()
    found = time_passes(graph.replay, "cuda", passes)
    del kept
    return found
