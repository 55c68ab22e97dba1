"""Time and memory of the layers: the definition, the default path, and PyTorch's own convolution and attention.

Run: `python -m benchmarks.layers` (on the CPU, or `--device cuda`), about two minutes on two cores. First, every case
is checked in float64 against the definition, in values and gradients. A wrong result is not timed.

Time is one forward and backward pass of the full layer, including projections and the gradient of the input, on 32
images in float32. The variants of a case take turns, so that disturbances affect all of them. The table shows the
shortest time of the rounds, and the median divided by it as spread. Memory is the allocator's peak during such a pass,
without the parameters, their gradients and the input.
"""

import argparse
import platform
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile

from convnn import naive
from convnn.attention import ConvNNAttention, SelfAttention
from convnn.candidates import own_tokens
from convnn.geometry import vgg11_stages, vit_tokens
from convnn.layers import ConvNN2d

BATCH = 32
WIDTH = 192
TOLERANCE = 1e-9

Layer = Callable[[Tensor], Tensor]


class AsPublished(nn.Module):
    """The definition as in the published layers: the whole padded map is queried, and the ring is cut off later."""

    def __init__(self, layer: ConvNN2d) -> None:
        super().__init__()
        self.layer = layer

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to `(B, O, H, W)`."""
        layer, shape = self.layer, tuple(x.shape[2:])
        tokens = F.pad(x, (layer.padding,) * 4).flatten(2).mT
        own = naive.SelfNeighbor(0.0, torch.arange(tokens.shape[1], device=x.device), None)
        weight, bias = layer.conv.weight, layer.conv.bias
        output = naive.convolve_neighbors(tokens, tokens, tokens, weight, bias, k=layer.k, softmax=False, own=own)
        kept: Tensor = output[:, own_tokens(shape, layer.padding, x.device)].mT.unflatten(2, shape)
        return kept


@dataclass(frozen=True)
class Case:
    """One comparison: an input shape, and a layer for every variant; the first is the definition."""

    name: str
    shape: tuple[int, ...]
    variants: dict[str, nn.Module]


@dataclass(frozen=True)
class Figure:
    """One variant's shortest time, the median divided by it, and the peak memory."""

    ms: float
    spread: float
    mb: float


def vgg_cases(device: str) -> list[Case]:
    """Return every layer of VGG-11 with lambda = 1, k = 9, and a 3 x 3 convolution with the same channels."""
    found = []
    for stage in vgg11_stages():
        if stage is None:
            continue
        layers = {name: ConvNN2d(stage.in_channels, stage.out_channels, 9) for name in ("naive", "default")}
        layers["default"].load_state_dict(layers["naive"].state_dict())
        layers["naive"].implementation = "naive"
        layers["naive"].conv.weight.data = layers["naive"].conv.weight.data.contiguous()
        published = AsPublished(layers["naive"])
        plain = nn.Conv2d(stage.in_channels, stage.out_channels, 3, padding=1)
        variants = {**layers, "as published": published, "torch": plain}
        shape = (BATCH, stage.in_channels, *stage.shape)
        found.append(Case(stage.name, shape, {name: layer.to(device) for name, layer in variants.items()}))
    return found


def vit_cases(device: str) -> list[Case]:
    """Return ViT-Tiny's ConvNN and softmax attention; `first`: as published, the token itself first with score 1."""
    found = []
    for name, options in {
        "random r=32": {"candidates": "random", "r": 32},
        "random r=32, first": {"candidates": "random", "r": 32, "self_first": True, "self_score": 1.0},
        "all": {},
    }.items():
        layers = {
            variant: ConvNNAttention(WIDTH, k=9, similarity="dot", **options)  # type: ignore[arg-type]
            for variant in ("naive", "default")
        }
        layers["default"].load_state_dict(layers["naive"].state_dict())
        layers["naive"].implementation = "naive"
        layers["naive"].conv.weight.data = layers["naive"].conv.weight.data.contiguous()
        variants: dict[str, nn.Module] = {**layers, "torch": SelfAttention(WIDTH)}
        shape = (BATCH, vit_tokens(), WIDTH)
        found.append(Case(name, shape, {key: layer.to(device) for key, layer in variants.items()}))
    return found


def check(case: Case, device: str) -> float:
    """Return the largest difference between the definition and the ConvNN variants, relative to the largest number.

    Raises:
        ValueError: If it exceeds TOLERANCE. Nothing is timed then.
    """
    x = torch.randn(2, *case.shape[1:], dtype=torch.float64, device=device)
    results: dict[str, list[Tensor]] = {}
    for name, layer in case.variants.items():
        if name == "torch":
            continue
        layer.double().zero_grad()
        torch.manual_seed(0)
        leaf = x.clone().requires_grad_()
        y = layer(leaf)
        y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype, device=device).view(y.shape))
        assert leaf.grad is not None
        gradients = [p.grad.clone() for p in layer.parameters() if p.grad is not None]
        results[name] = [y.detach(), leaf.grad, *gradients]
        layer.float().zero_grad(set_to_none=True)
    worst = 0.0
    for name, theirs in results.items():
        for one, other in zip(results["naive"], theirs, strict=True):
            worst = max(worst, ((one - other).abs().max() / one.abs().max()).item())
        if not worst <= TOLERANCE:
            raise ValueError(f"{case.name}: {name} differs from the definition by {worst:.2g}, so it is not timed.")
    return worst


def figures(case: Case, device: str, rounds: int) -> dict[str, Figure]:
    """Measure time and memory of every variant; see the module's docstring."""
    x = torch.randn(case.shape, device=device)
    x = (x.relu() if x.dim() == 4 else x).requires_grad_()  # noqa: PLR2004 - VGG's maps come from a ReLU
    steps = {name: _step(layer, x) for name, layer in case.variants.items()}
    times: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(2):
        for step in steps.values():
            step()
    for _ in range(rounds):
        for name, step in steps.items():
            _wait(device)
            start = time.perf_counter()
            step()
            _wait(device)
            times[name].append((time.perf_counter() - start) * 1e3)
    return {
        name: Figure(min(times[name]), statistics.median(times[name]) / min(times[name]), _peak(layer, x, device) / 1e6)
        for name, layer in case.variants.items()
    }


def _step(layer: nn.Module, x: Tensor) -> Callable[[], None]:
    cotangent = torch.randn_like(layer(x))

    def step() -> None:
        layer.zero_grad(set_to_none=True)
        x.grad = None
        layer(x).backward(cotangent)

    return step


def _wait(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def _peak(layer: nn.Module, x: Tensor, device: str) -> int:
    """Return the allocator's peak during a pass, without the parameters' gradients."""
    step = _step(layer, x)
    layer.zero_grad(set_to_none=True)
    x.grad = None
    gradients = sum(p.numel() * p.element_size() for p in layer.parameters())
    if device == "cuda":
        _wait(device)
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        step()
        _wait(device)
        return torch.cuda.max_memory_allocated() - before - gradients
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as trace:
        step()
    held = peak = 0
    kineto = trace.profiler.kineto_results
    for event in sorted((e for e in kineto.events() if e.name() == "[memory]"), key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak - gradients


def table(results: dict[str, dict[str, Figure]], shapes: dict[str, tuple[int, ...]]) -> list[str]:
    """Return Markdown rows: milliseconds (spread), megabytes, and the ratios of the default path to the others."""
    names = list(next(iter(results.values())))
    others = [name for name in names if name != "default"]
    head = (
        ["case", "input"]
        + [f"{n} ms" for n in names]
        + [f"{n} / default" if n != "torch" else "default / torch" for n in others]
    )
    head += [f"{n} MB" for n in names] + ["memory default / naive"]
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    for case, found in results.items():
        default = found["default"]
        row = [case, "x".join(map(str, shapes[case]))]
        row += [f"{found[n].ms:.1f} ({found[n].spread:.2f})" for n in names]
        row += [f"{default.ms / found[n].ms if n == 'torch' else found[n].ms / default.ms:.2f}" for n in others]
        row += [f"{found[n].mb:.1f}" for n in names] + [f"{default.mb / found['naive'].mb:.2f}"]
        lines.append("| " + " | ".join(row) + " |")
    return lines


def targets(vgg: dict[str, dict[str, Figure]], vit: dict[str, dict[str, Figure]]) -> list[str]:
    """Return the project's performance targets with the measured values."""
    lines = []

    def line(what: str, value: float, *, limit: float, at_least: bool = False) -> None:
        met = value >= limit if at_least else value <= limit
        lines.append(
            f"| {what} | {'>=' if at_least else '<='} {limit} | {value:.2f} | {'reached' if met else 'not reached'} |"
        )

    for base in ("naive", "as published"):
        ratios = [found[base].ms / found["default"].ms for found in vgg.values()]
        line(
            f"VGG: {base} over default, time, geometric mean",
            statistics.geometric_mean(ratios),
            limit=2.5,
            at_least=True,
        )
    late = max(f["default"].ms / f["torch"].ms for name, f in vgg.items() if name not in ("conv1", "conv2"))
    line("VGG: default over nn.Conv2d, time, worst from conv3 on", late, limit=2.0)
    for base in ("naive", "as published"):
        early = max(vgg[name]["default"].mb / vgg[name][base].mb for name in ("conv1", "conv2"))
        line(f"VGG: default over {base}, memory, worst of conv1 and conv2", early, limit=0.25)
    for name, limit in (("random r=32", 0.8), ("random r=32, first", 0.8), ("all", 2.0)):
        line(f"ViT: default over SDPA, time, {name}", vit[name]["default"].ms / vit[name]["torch"].ms, limit=limit)
    return ["| figure | target | measured | |", "|---|---|---|---|", *lines]


def machine(device: str) -> str:
    """Return the hardware and versions of the measurement."""
    chip = torch.cuda.get_device_name() if device == "cuda" else platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if device == "cpu" and info.exists():
        models = [line.split(":")[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")]
        chip = models[0] if models else chip
    return (
        f"{chip}, {torch.get_num_threads()} threads, {torch.backends.cpu.get_cpu_capability()}, float32, "
        f"torch {torch.__version__}, Python {platform.python_version()}"
    )


def main() -> int:
    """Check, measure and print; fail if a variant differs from the definition."""
    parser = argparse.ArgumentParser(description="Parity first, then time and memory of the layers.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--rounds", type=int, default=15, help="measurements of every variant")
    arguments = parser.parse_args()
    device: str = arguments.device
    torch.manual_seed(0)
    groups = {"VGG-11": vgg_cases(device), "ViT-Tiny": vit_cases(device)}
    worst = max(check(case, device) for cases in groups.values() for case in cases)
    print(f"{machine(device)}, {arguments.rounds} rounds, batch {BATCH}")
    print(f"\nParity in float64, values and gradients: largest relative difference {worst:.1e}.")
    measured = {}
    for group, cases in groups.items():
        measured[group] = {case.name: figures(case, device, arguments.rounds) for case in cases}
        print(f"\n## {group}\n")
        print("\n".join(table(measured[group], {case.name: case.shape for case in cases})), flush=True)
    print("\n## Targets\n")
    print("\n".join(targets(measured["VGG-11"], measured["ViT-Tiny"])))
    return 0


if __name__ == "__main__":
    sys.exit(main())
