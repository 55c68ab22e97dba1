"""Time from `convnn run` to the first training step on the CPU, by part, and the longest time without output.

Run: `python -m benchmarks.first_step`, on Linux; about a minute per round on two cores. Each round runs a sweep of one
small trial on the digits in a new folder, once with its output in a pipe and once on a terminal (created by `script`
from util-linux). It also measures parts alone: a bare `ray.init()` with one empty actor, and `import torch`. The
processes themselves record the moments (benchmarks/moments). With `--quiet`, each run starts only when the machine has
been idle for two seconds, and the load by other processes is printed.
"""

import argparse
import contextlib
import importlib.util
import itertools
import os
import platform
import re
import select
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

from benchmarks.layers import machine

ROOT = Path(__file__).parents[1]
SWEEP = """
name: first-step
space:
  data: {name: digits}
  model:
    width: 0.125
    classifier_width: 128
    layer: {kind: hybrid, lambda: 0.25, k: 4, candidates: {kind: random, r: 64, when_too_few: all}}
  training: {epochs: 1, batch_size: 32}
"""
PROGRAM = "import sys; from tune_jobs.cli import main; sys.argv[0] = 'convnn'; main()"
RAY = """
import time
begun = time.monotonic()
import ray
ray.init(log_to_driver=False, logging_level="ERROR")
@ray.remote
class Empty:
    def answer(self): return 1
ray.get(Empty.remote().answer.remote())
print(time.monotonic() - begun)
"""
TORCH = "import time; begun = time.monotonic(); import torch; print(time.monotonic() - begun)"
COMMAND, WORKER = "command", "worker"
IDLE = 0.1
"""A machine is quiet if at most this fraction of its cores is busy."""

IDLE_S = 2.0
LONGEST_WAIT_S = 20.0
DRAWN = re.compile(rb"\x1b\[[0-9;?]*[A-Za-z]|\s")
"""Terminal control sequences and whitespace."""


@dataclass
class Run:
    """One run: its moments, in seconds from the command's start."""

    moments: dict[tuple[str, str], float] = field(default_factory=dict)
    """The first time of each moment, by kind of process and name."""

    texts: list[tuple[float, bytes]] = field(default_factory=list)

    def first_step(self) -> float:
        """Return the time when the first training step was complete."""
        return self.moments[WORKER, "the first step's check starts"]

    def silence(self) -> float:
        """Return the longest time without new text before the first step."""
        times = [0.0, *(at for at, _ in self.texts if at < self.first_step()), self.first_step()]
        return max(after - before for before, after in itertools.pairwise(times))

    def parts(self) -> dict[str, float]:
        """Return the seconds of each part until the first step, in order."""
        at = self.moments
        return {
            "command to its first line": self.texts[0][0],
            "of that, imports of the command line": self._of(COMMAND, "import tune_jobs.cli.app"),
            "import ray": self._of(COMMAND, "import ray"),
            "ray.init": self._of(COMMAND, "ray.init"),
            "Ray Tune, and a worker process": at[WORKER, "process starts"] - at[COMMAND, "ray.init ends"],
            "the worker up to its attempt": at[WORKER, "attempt starts"] - at[WORKER, "process starts"],
            "import torch in the worker": self._of(WORKER, "import torch"),
            "images and model": at[WORKER, "preparing ends"] - at[WORKER, "import torch ends"],
            "first training step": self.first_step() - at[WORKER, "preparing ends"],
            "total, to the end of the first step": self.first_step(),
        }

    def _of(self, process: str, what: str) -> float:
        return self.moments[process, f"{what} ends"] - self.moments[process, f"{what} starts"]


def run(*, terminal: bool) -> Run:
    """Run the sweep in a new folder, with its output in a pipe or on a terminal."""
    with tempfile.TemporaryDirectory(prefix="convnn-first-step-") as place:
        folder = Path(place)
        (folder / "sweep.yaml").write_text(SWEEP)
        moments = folder / "moments"
        paths = [str(ROOT / "benchmarks" / "moments"), str(ROOT)]
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths), "CONVNN_MOMENTS": str(moments)}
        environment.pop("MLFLOW_TRACKING_URI", None)
        words = [sys.executable, "-c", PROGRAM, "run", str(folder / "sweep.yaml"), "--storage", str(folder / "sweeps")]
        if terminal:
            words = ["script", "--quiet", "--return", "--flush", "--command", shlex.join(words), os.devnull]
        begun, found = time.time(), Run()
        process = subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # noqa: S603 - ours
        with process:
            assert process.stdout is not None
            found.texts = list(_texts(process.stdout.fileno(), begun))
        if process.returncode != 0:
            raise RuntimeError(b"".join(text for _, text in found.texts).decode(errors="replace"))
        for line in moments.read_text().splitlines():
            at, who, what = line.split("\t")
            found.moments.setdefault((who.split()[0], what), float(at) - begun)
    return found


def _texts(descriptor: int, begun: float) -> Iterator[tuple[float, bytes]]:
    """Yield each piece of output that differs from the previous one, with its time."""
    before = b""
    while True:
        select.select([descriptor], [], [])
        piece = b""
        with contextlib.suppress(OSError):  # the terminal was closed
            piece = os.read(descriptor, 65536)
        if not piece:
            return
        text = DRAWN.sub(b"", piece)
        if text and text != before:
            before = text
            yield time.time() - begun, piece


def alone(program: str) -> float:
    """Run a program and return the seconds that it prints."""
    words = [sys.executable, "-c", program]
    done = subprocess.run(words, capture_output=True, text=True, check=True)  # noqa: S603 - ours
    return float(done.stdout.split()[-1])


def _busy() -> tuple[float, float]:
    """Return the busy time and the total time of all cores since the machine started."""
    times = [float(word) for word in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
    return sum(times) - times[3] - times[4], sum(times)


def wait_until_quiet() -> float:
    """Wait until the machine is idle, up to a time limit; return its last load, 0 to 1."""
    deadline = time.monotonic() + LONGEST_WAIT_S
    while True:
        before = _busy()
        time.sleep(IDLE_S)
        work, every = (after - earlier for after, earlier in zip(_busy(), before, strict=True))
        if work / every < IDLE or time.monotonic() > deadline:
            return work / every


def row(what: str, seconds: list[float]) -> str:
    """Return a table row."""
    ordered = sorted(seconds)
    return f"| {what} | {statistics.median(ordered):.2f} | {ordered[0]:.2f} to {ordered[-1]:.2f} | {len(ordered)} |"


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="Time from `convnn run` to the first training step.")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--quiet", action="store_true", help="wait for an idle machine before each run")
    asked = parser.parse_args()
    if importlib.util.find_spec("convnn") is None:
        parser.error("run this in the project's folder, in an environment with its packages.")
    print(
        f"{machine('cpu')}, {os.cpu_count()} cores, Python {platform.python_version()}, Ray {version('ray')}, "
        f"torch {version('torch')}, MLflow {version('mlflow')}\n",
        flush=True,
    )
    run(terminal=False)  # decodes the images and warms up the disk cache
    found: dict[str, list[float]] = {}
    others: list[float] = []
    for _ in range(asked.rounds):
        for what in ("lines", "live", "ray", "torch"):
            if asked.quiet:
                others.append(wait_until_quiet())
            if what == "ray":
                found.setdefault("alone: ray.init() and an empty actor", []).append(alone(RAY))
            elif what == "torch":
                found.setdefault("alone: import torch", []).append(alone(TORCH))
            else:
                done = run(terminal=what == "live")
                parts = done.parts() if what == "lines" else {"total on a terminal": done.first_step()}
                for part, seconds in {**parts, f"longest silence ({what})": done.silence()}.items():
                    found.setdefault(part, []).append(seconds)
        print(f"round: {found['total, to the end of the first step'][-1]:.1f} s", file=sys.stderr, flush=True)
    print("| part | median s | min to max s | n |\n|---|---|---|---|")
    for what, times in found.items():
        print(row(what, times))
    if others:
        print(
            f"\nCores busy with other work before a run: median {statistics.median(others):.0%}, max {max(others):.0%}"
        )
    return 0


if __name__ == "__main__":
    sys.exit(main())
