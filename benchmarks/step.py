"""Compare the time of a training step of this code with that of an older version.

Run: `git worktree add /tmp/old COMMIT`, then `python -m benchmarks.step --old /tmp/old`; ten minutes on two cores. Each
version trains in a separate process with two threads, like a trial (`convnn.training.fit`, synthetic images). The two
take turns, so that disturbances affect both. First the losses of one step are compared, without dropout, because its
draws differ. A case is not timed if the losses differ by more than TOLERANCE. (The versions may break exact ties
between neighbors differently, and Adam's first steps at full width amplify small differences.) Each round uses the same
images, as in training; with flips and shifts, no image repeats exactly. The output is the median time of a step of each
version, the ratio of the medians, and the smallest and largest ratio of two consecutive rounds. Without `--old`, only
this code is measured.
"""

import argparse
import functools
import json
import os
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

THREADS = 2
TOLERANCE = 0.02
"""Allowed relative difference of the first step's losses; older versions break ties differently."""


@dataclass(frozen=True)
class Case:
    """A model, how it is trained, and the number of steps per round."""

    name: str
    model: str
    options: dict[str, Any]
    batch: int
    steps: int
    recipe: dict[str, Any]


def _vgg(name: str, lam: float, batch: int, steps: int, **options: Any) -> Case:  # noqa: ANN401
    return Case(f"VGG-11, {name}, batch {batch}", "vgg11", {"lam": lam, **options}, batch, steps, {})


EIGHTH: dict[str, Any] = {"width": 0.125, "classifier_width": 512}
CASES = [
    _vgg("lambda 0.5", 0.5, 32, 2),
    _vgg("lambda 0.5", 0.5, 256, 1),
    _vgg("lambda 0", 0.0, 32, 2),
    _vgg("lambda 1", 1.0, 32, 2),
    _vgg("lambda 1, r 64", 1.0, 32, 2, candidates="random", r=64, when_too_few="all"),
    _vgg("width 1/8, lambda 0.5", 0.5, 32, 10, **EIGHTH),
    Case(
        "VGG-11, width 1/8, lambda 0.5, flips",
        "vgg11",
        {"lam": 0.5, **EIGHTH},
        32,
        10,
        {"augmentation": "flip_shift"},
    ),
    _vgg("width 1/8, lambda 0", 0.0, 32, 10, **EIGHTH),
    _vgg("width 1/8, lambda 1", 1.0, 32, 10, **EIGHTH),
    Case("VGG-11, SGD, batch 32", "vgg11", {"lam": 0.5}, 32, 2, {"optimizer": "sgd", "lr": 1e-3}),
    Case("ViT-Tiny, attention, batch 32", "vit_tiny", {"attention": "attention"}, 32, 2, {}),
    Case("ViT-Tiny, ConvNN, all, batch 32", "vit_tiny", {"attention": "convnn"}, 32, 2, {}),
    Case(
        "ViT-Tiny, ConvNN, r 32, batch 32",
        "vit_tiny",
        {"attention": "convnn", "candidates": "random", "r": 32},
        32,
        2,
        {},
    ),
    Case("ViT-Tiny, KVT, batch 32", "vit_tiny", {"attention": "kvt"}, 32, 2, {}),
]


NO_DROPOUT = {"vgg11": {"dropout": 0.0}, "vit_tiny": {"dropout": 0.0, "attention_dropout": 0.0}}


def train(case: Case, *, parity: bool) -> Callable[[], tuple[float, float]]:
    """Return a function that trains one round and returns the seconds per step and the loss."""
    import numpy as np
    import torch

    from convnn.data.batches import Batches
    from convnn.data.cache import Images
    from convnn.data.facts import DATASETS
    from convnn.models.vgg import vgg11
    from convnn.models.vit import vit_tiny
    from convnn.training import Recipe, TrainState, fit

    torch.set_num_threads(THREADS)
    rng = np.random.default_rng(0)
    steps = 1 if parity else case.steps
    options = {**case.options, **(NO_DROPOUT[case.model] if parity else {})}
    count = case.batch * steps
    made = Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, count))
    part = Batches(made, np.arange(count), DATASETS["cifar10"])
    recipe = Recipe(**{"epochs": 10**6, "batch_size": case.batch, **case.recipe})
    models: dict[str, Callable[..., Any]] = {"vgg11": vgg11, "vit_tiny": vit_tiny}
    build = functools.partial(models[case.model], 10, **options)
    epochs = fit(TrainState.create(build, recipe), recipe, part)

    def round_() -> tuple[float, float]:
        result = next(epochs)
        return result.epoch_s / steps, result.train_loss

    return round_


def serve() -> None:
    """Train case by case, as requested on standard input: a number starts a case, an empty line runs another round.

    The sign of the number gives the purpose: `+3` times case 3, `-3` compares its loss.
    """
    round_: Callable[[], tuple[float, float]] | None = None
    for line in sys.stdin:
        if line.strip():
            round_ = None  # frees the memory of the previous case
            round_ = train(CASES[int(line[1:])], parity=line.startswith("-"))
        assert round_ is not None
        print(json.dumps(round_()), flush=True)


class Code:
    """A process that trains with the code in a folder."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "PYTHONPATH": str(folder), "OMP_NUM_THREADS": str(THREADS)}
        here = Path(__file__).resolve()
        command = [sys.executable, "-c", f"import runpy; runpy.run_path({str(here)!r})['serve']()"]
        self._process = subprocess.Popen(  # noqa: S603 - our own
            command, env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=folder
        )

    def ask(self, line: str) -> tuple[float, float]:
        """Return the seconds per step and the loss of the next round."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        seconds, loss = json.loads(self._process.stdout.readline())
        return seconds, loss

    def close(self) -> None:
        """End the process."""
        self._process.kill()
        self._process.wait()


def measure(number: int, codes: dict[str, Code], rounds: int) -> dict[str, list[float]]:
    """Return the seconds per step of each round, by version.

    Raises:
        ValueError: If the losses differ.
    """
    losses = {name: code.ask(f"-{number}")[1] for name, code in codes.items()}
    if max(losses.values()) - min(losses.values()) > TOLERANCE * min(losses.values()):
        raise ValueError(f"{CASES[number].name}: the losses differ: {losses}")
    for code in codes.values():
        code.ask(f"+{number}")
    times: dict[str, list[float]] = {name: [] for name in codes}
    for _ in range(rounds):
        for name, code in codes.items():
            times[name].append(code.ask("")[0])
    return times


def main() -> None:
    """Measure the cases selected on the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--old", type=Path, help="A checkout of the older code.")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--only", default="", help="Cases whose name contains this.")
    parser.add_argument("--json", action="store_true", help="Print one JSON object.")
    asked = parser.parse_args()
    folders = {"new": Path(__file__).resolve().parents[1], **({"old": asked.old.resolve()} if asked.old else {})}
    found = {}
    for number, case in enumerate(CASES):
        if asked.only not in case.name:
            continue
        codes = {name: Code(folder) for name, folder in folders.items()}  # new processes, as for each trial
        try:
            times = measure(number, codes, asked.rounds)
        finally:
            for code in codes.values():
                code.close()
        found[case.name] = times
        line = "  ".join(f"{name} {1e3 * statistics.median(of):8.1f} ms" for name, of in times.items())
        if "old" in times:
            ratios = [new / old for new, old in zip(times["new"], times["old"], strict=True)]
            ratio = statistics.median(times["new"]) / statistics.median(times["old"])
            line += f"  ratio {ratio:.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{case.name:36} {line}", flush=True, file=sys.stderr if asked.json else sys.stdout)
    if asked.json:
        print(json.dumps(found))


if __name__ == "__main__":
    main()
