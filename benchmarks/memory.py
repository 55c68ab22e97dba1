"""The memory of a trial on the CPU, measured and as estimated by `convnn plan`.

Run: `python -m benchmarks.memory`; ten minutes on two cores, at most 7 GB. Each case trains in a separate process with
two threads, like a trial (`convnn.training.fit`, synthetic images). The result is the peak memory of the process (VmHWM
on Linux). Memory grows over the first steps, because freed blocks leave gaps, so each case runs STEPS steps.
"""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from search_spaces import TrialConfig

THREADS, STEPS = 2, 8
LOW, HIGH = -0.10, 0.30
"""Allowed relative error of the estimate."""

VGG = {"name": "vgg11"}
R_32 = {"kind": "random", "r": 32}
CASES: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "quickstart, the largest trial": (
        VGG
        | {"width": 0.125, "classifier_width": 128}
        | {
            "layer": {"kind": "hybrid", "lambda": 0.5, "candidates": {"kind": "random", "r": 64, "when_too_few": "all"}}
        },
        {"batch_size": 32},
    ),
    "VGG-11, lambda 0, batch 256": (VGG | {"layer": {"kind": "conv2d"}}, {}),
    "VGG-11, lambda 0.5, batch 256": (VGG | {"layer": {"kind": "hybrid", "lambda": 0.5}}, {}),
    "VGG-11, lambda 0.5, batch 32": (VGG | {"layer": {"kind": "hybrid", "lambda": 0.5}}, {"batch_size": 32}),
    "VGG-11, lambda 0, SGD, batch 32": (VGG | {"layer": {"kind": "conv2d"}}, {"batch_size": 32, "optimizer": "sgd"}),
    "ViT-Tiny, ConvNN, all, batch 32": (
        {"name": "vit_tiny", "attention": {"kind": "convnn", "similarity": "dot"}},
        {"batch_size": 32},
    ),
    "ViT-Tiny, ConvNN, r 32, batch 32": (
        {"name": "vit_tiny"}
        | {
            "attention": {
                "kind": "convnn",
                "similarity": "dot",
                "self_first": True,
                "self_score": 1.0,
                "candidates": R_32,
            }
        },
        {"batch_size": 32},
    ),
    "ViT-Tiny, ConvNN, all, batch 8": (
        {"name": "vit_tiny", "attention": {"kind": "convnn", "similarity": "dot"}},
        {"batch_size": 8},
    ),
    "ViT-Tiny, attention, batch 64": ({"name": "vit_tiny", "attention": {"kind": "attention"}}, {"batch_size": 64}),
}


def trial_of(name: str) -> TrialConfig:
    """Return the configuration of a case."""
    model, training = CASES[name]
    return TrialConfig.model_validate(
        {"data": {"name": "cifar10"}, "model": model, "training": {**training, "epochs": 1}}
    )


def measured_gb(name: str) -> float:
    """Measure the peak memory of a case in a separate process, in 10^9 bytes."""
    done = subprocess.run(  # noqa: S603 - this program
        [sys.executable, "-m", "benchmarks.memory", name], check=True, capture_output=True, text=True, timeout=600
    )
    return float(json.loads(done.stdout.splitlines()[-1]))


def _train(name: str) -> float:
    import numpy as np
    import torch

    from convnn.data import DATASETS
    from convnn.data.batches import Batches
    from convnn.data.cache import Images
    from convnn.training import TrainState, fit
    from tune_jobs.worker.build import build_model, build_recipe

    torch.set_num_threads(THREADS)
    trial, facts, rng = trial_of(name), DATASETS["cifar10"], np.random.default_rng(0)
    recipe, count = build_recipe(trial.training), STEPS * trial.training.batch_size
    made = Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, facts.classes, count))
    state = TrainState.create(lambda: build_model(trial.model, facts.classes), recipe)
    next(iter(fit(state, recipe, Batches(made, np.arange(count), facts))))
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024 / 1e9


def main() -> int:
    """Measure and print; exit with 1 if a case is out of bounds."""
    if len(sys.argv) > 1:
        print(json.dumps(_train(sys.argv[1])))
        return 0
    from benchmarks.layers import machine
    from tune_jobs.worker.sizing import cost_of

    print(f"{machine('cpu')}, {THREADS} threads, {STEPS} steps\n")
    print("| case | planned, GB | measured, GB | planned vs. measured |\n|---|---|---|---|")
    within = True
    for name in CASES:
        said, found = cost_of(trial_of(name)).memory_gb, measured_gb(name)
        within &= LOW <= said / found - 1 <= HIGH
        print(f"| {name} | {said:.2f} | {found:.2f} | {said / found - 1:+.0%} |", flush=True)
    return 0 if within else 1


if __name__ == "__main__":
    sys.exit(main())
