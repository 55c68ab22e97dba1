"""Training speed of the paper's models: images per second and memory, by share of ConvNN, candidates and precision.

Run: `python -m benchmarks.training --device cuda`. It runs `convnn.training.fit` on synthetic images of CIFAR's size,
like a trial: batches of 256, AdamW, images on the device. A short first epoch is a warm-up and does not count. The
table shows the best round, and the median divided by it. `--together N` also trains N copies at the same time, each in
a separate process, like trials that share a GPU.
"""

import argparse
import functools
import multiprocessing
import statistics
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import nn

from benchmarks.layers import machine
from convnn.data.batches import Batches
from convnn.data.cache import Images
from convnn.data.facts import DATASETS
from convnn.models.vgg import vgg11
from convnn.models.vit import vit_tiny
from convnn.training import Recipe, TrainState, fit

BATCH = 256
FACTS = DATASETS["cifar10"]

Build = Callable[[], nn.Module]


@dataclass(frozen=True)
class Variant:
    """A model and its training recipe."""

    model: str
    name: str
    build: Build
    recipe: Recipe


def variants(device: str) -> list[Variant]:
    """Return the main variations of the presets: ConvNN's share in VGG-11, the attention of ViT-Tiny, the precision."""
    vgg: dict[str, Build] = {f"lambda {share}": functools.partial(vgg11, 10, share, k=9) for share in (0.0, 0.5, 1.0)}
    vgg["lambda 1, r 64"] = functools.partial(vgg11, 10, 1.0, k=9, candidates="random", r=64, when_too_few="all")
    convnn = functools.partial(vit_tiny, 10, "convnn", k=9, similarity="dot")
    vit: dict[str, Build] = {
        "attention": functools.partial(vit_tiny, 10, "attention"),
        "kvt, k 9": functools.partial(vit_tiny, 10, "kvt", k=9),
        "convnn, k 9, all": convnn,
        "convnn, k 9, r 32": functools.partial(convnn, candidates="random", r=32),
    }
    precisions = ["fp32", "tf32", "bf16"] if device == "cuda" else ["fp32", "bf16"]
    recipe = Recipe(batch_size=BATCH, epochs=10**6)
    return [
        Variant(model, name, build, replace(recipe, precision=precision))  # type: ignore[arg-type]
        for model, builds in (("VGG-11", vgg), ("ViT-Tiny", vit))
        for name, build in builds.items()
        for precision in precisions
    ]


def images(count: int, device: str) -> Batches:
    """Return random images of CIFAR's shape."""
    rng = np.random.default_rng(0)
    made = Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, count))
    return Batches(made, np.arange(count), FACTS, device)


def rates(variant: Variant, device: str, steps: int, rounds: int) -> tuple[list[float], float | None]:
    """Return the images per second of each round, and the device's peak memory in 10^9 bytes."""
    data = images(steps * BATCH, device)
    warm = images(2 * BATCH, device)
    state = TrainState.create(variant.build, variant.recipe, device)
    next(fit(state, variant.recipe, warm))
    found = [next(fit(state, variant.recipe, data)) for _ in range(rounds)]
    return [result.images_per_s for result in found], found[-1].gpu_mem_gb


def _one_of_several(number: int, device: str, steps: int, start: threading.Barrier) -> float:
    variant = variants(device)[number]
    state = TrainState.create(variant.build, variant.recipe, device)
    next(fit(state, variant.recipe, images(2 * BATCH, device)))
    data = images(steps * BATCH, device)
    start.wait()
    begun = time.monotonic()
    next(fit(state, variant.recipe, data))
    return steps * BATCH / (time.monotonic() - begun)


def together(number: int, device: str, steps: int, copies: int) -> float:
    """Return the total images per second of `copies` copies."""
    context = multiprocessing.get_context("spawn")
    with context.Manager() as manager, context.Pool(copies) as pool:
        start = manager.Barrier(copies)
        return sum(pool.starmap(_one_of_several, [(number, device, steps, start)] * copies))


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Images per second of the paper's models.")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--steps", type=int, default=40, help="steps of each round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--together", type=int, default=0, help="number of copies that share the device")
    parser.add_argument("--only", nargs="+", default=[""], metavar="NAME", help="variants whose name contains this")
    parser.add_argument(
        "--precisions",
        nargs="+",
        default=["fp32", "tf32", "bf16"],
        help="precisions to test, if the device supports them",
    )
    arguments = parser.parse_args()
    device, steps = arguments.device, arguments.steps
    print(f"{machine(device)}, batch {BATCH}, {arguments.rounds} rounds of {steps} steps\n")
    shared = f" {arguments.together} together |" if arguments.together else ""
    print(f"| model | | precision | images/s | median | GB | epoch of 50,000, s |{shared}")
    print("|---" * (7 + bool(shared)) + "|")
    for number, variant in enumerate(variants(device)):
        wanted = any(name in variant.name for name in arguments.only)
        if not wanted or variant.recipe.precision not in arguments.precisions:
            continue
        speeds, memory = rates(variant, device, steps, arguments.rounds)
        best, middle = max(speeds), statistics.median(speeds)
        row = [variant.model, variant.name, variant.recipe.precision, f"{best:,.0f}", f"{middle / best:.2f}"]
        row += ["-" if memory is None else f"{memory:.2f}", f"{FACTS.train_images / best:.1f}"]
        if device == "cuda":
            torch.cuda.empty_cache()
        if arguments.together:
            row.append(f"x{together(number, device, steps, arguments.together) / best:.2f}")
        print(f"| {' | '.join(row)} |", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
