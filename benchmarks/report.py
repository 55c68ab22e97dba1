"""Time and memory of the report and of commands that read a large sweep.

Run: `python -m benchmarks.report`, about two minutes on two cores. It creates a synthetic ledger of 5,000 trials of 150
epochs. Each command is the real one, in a separate process. Before the timing, the leaderboard and the learning curves
of the page are compared with the ledger.
"""

import argparse
import bisect
import contextlib
import json
import math
import os
import platform
import random
import re
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

import numpy as np

from search_spaces import Decided, canonical, parse_sweep, run_key
from tune_jobs.record import schema
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import SEARCH

NAME = "large"
FILE = """
name: {name}
space:
  model:
    layer:
      any_of:
        - kind: conv2d
        - kind: hybrid
          lambda: {{choice: [0.125, 0.25, 0.5, 0.75]}}
          k: {{choice: [4, 9, 12]}}
          candidates:
            any_of:
              - {{kind: all}}
              - {{kind: random, r: {{int: [16, 256]}}, when_too_few: all}}
  training:
    lr: {{log_uniform: [1.0e-5, 1.0e-2]}}
    weight_decay: {{log_uniform: [1.0e-6, 1.0e-2]}}
    epochs: {epochs}
search: {{sampler: random, trials: {trials}, repeats: {repeats}}}
stopping: {{kind: {rule}}}
"""
COMMANDS = (["report", NAME], ["list"], ["status", NAME], ["show", NAME], ["best", NAME])


@dataclass
class Cost:
    """The cost of one command, run by run."""

    command: str
    seconds: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    peak_mb: list[float] = field(default_factory=list)

    def row(self) -> str:
        """Return the table row."""
        times = sorted(self.seconds)
        return (
            f"| `convnn {self.command}` | {statistics.median(times):.1f} | {times[0]:.1f} to {times[-1]:.1f} | "
            f"{statistics.median(self.cpu_s):.1f} | {max(self.peak_mb):.0f} | {len(times)} |"
        )


def write_sweep(storage: Path, trials: int, epochs: int, *, rule: str = "none", repeats: int = 1) -> SweepFolder:
    """Write the ledger of a finished sweep with synthetic learning curves.

    Args:
        storage: Folder for the sweep.
        trials: Total number of trials.
        epochs: Epochs of a complete trial.
        rule: `none`, or `asha`, with which most trials end at a rung: after 1, 3, 9, ... epochs.
        repeats: Seeds of each configuration.
    """
    folder = SweepFolder(storage / NAME)
    folder.path.mkdir(parents=True)
    text = FILE.format(name=NAME, trials=trials // repeats, epochs=epochs, rule=rule, repeats=repeats)
    folder.spec.write_text(text)
    space, rng = parse_sweep(text).space, random.Random(0)
    rungs: dict[int, list[float]] = {3**n: [] for n in range(5)} if rule == "asha" else {}
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger.meta.metric, ledger.meta.planned, ledger.meta.repeats = "val/accuracy", trials // repeats, repeats
    seq, db = 10, sqlite3.connect(folder.ledger)
    with contextlib.closing(db), db:
        for number in range(trials):
            if number % repeats == 0:
                first, point = None, space.draw(rng)
                config, rate, top = space.resolve(Decided(point)), rng.uniform(10, 50), rng.betavariate(4, 2)
            else:
                seed = config.training.seed + 1
                config = config.model_copy(update={"training": config.training.model_copy(update={"seed": seed})})
            key, recorded = run_key(config), canonical(config).model_dump_json(by_alias=True)
            if first is None:
                db.execute(schema.NEW_ASK, (seq, json.dumps(point), "new", key))
            learned = list(_learned(epochs, rungs, rate, top, rng))
            rows = [
                (seq + epoch, key, 1, epoch, 1.7e9 + epoch, json.dumps(metrics))
                for epoch, metrics in enumerate(learned, 1)
            ]
            last = len(rows)
            seq += last + 2
            state, reason = ("complete", None) if last == epochs else ("stopped", "by the stopping rule")
            db.execute(schema.NEW_TRIAL, (key, recorded, first, SEARCH))
            first = first or key
            db.execute("UPDATE trials SET state=?, reason=?, ended_seq=? WHERE run_key=?", (state, reason, seq, key))
            db.execute(
                "INSERT INTO attempts(run_key, attempt, state, started, ended, seconds, cpus) "
                "VALUES(?, 1, ?, 1.7e9, 1.7e9 + ?, ?, 1)",
                (key, state, last, 20.0 * last),
            )
            db.executemany("INSERT INTO epochs VALUES(?, ?, ?, ?, ?, ?)", rows)
        db.execute("INSERT OR REPLACE INTO meta VALUES('seq', ?)", (str(seq),))
    return folder


def _learned(
    epochs: int, rungs: dict[int, list[float]], rate: float, top: float, rng: random.Random
) -> Iterator[dict[str, float]]:
    """Yield the epochs of a trial; at each rung only the best third so far continues."""
    for epoch in range(1, epochs + 1):
        metrics = _metrics(epoch, rate, top, rng)
        yield metrics
        if (rung := rungs.get(epoch)) is not None:
            bisect.insort(rung, metrics["val/accuracy"])
            if metrics["val/accuracy"] < rung[-max(1, len(rung) // 3)]:
                return


def _metrics(epoch: int, rate: float, top: float, rng: random.Random) -> dict[str, float]:
    reached = (1 - math.exp(-epoch / rate)) * top
    metrics = {"epoch_s": 20 + rng.random(), "images_per_s": 2000 + 100 * rng.random()}
    for part in ("train", "val"):
        metrics |= {f"{part}/loss": 2.3 * (1 - reached) + rng.random() / 50}
        metrics |= {f"{part}/accuracy": reached + rng.random() / 50}
    if epoch == 1:
        metrics |= {"params": 128e6, "gflops": 0.3 + rng.random(), "gflops_published": 0.3}
    return metrics


def check(folder: SweepFolder, seeds: int) -> int:
    """Compare the page's leaderboard and curves with the ledger; return the page's size in bytes.

    Raises:
        AssertionError: If they differ.
    """
    page = folder.report.read_text(encoding="utf-8")
    curves: dict[str, list[float]] = {}
    with contextlib.closing(sqlite3.connect(folder.ledger)) as db:
        rows = db.execute("SELECT number, epochs.metrics FROM epochs JOIN trials USING(run_key) ORDER BY epochs.seq")
        for number, metrics in rows:
            curves.setdefault(f"trial {number}", []).append(json.loads(metrics)["val/accuracy"])
    shown = [float(value) for value in re.findall(r'data-value="(.*?)"', page)]
    assert sorted(shown) == sorted(curve[-1] for curve in curves.values()), "the leaderboard differs from the ledger"
    plotted = re.search(r'id="data">(.*?)</script>', page, re.DOTALL)
    assert plotted is not None
    lines = json.loads(plotted[1])["figures"]["learning-curves"]["data"]
    own = [line for line in lines if line["name"] in curves]  # neither a mean of several seeds nor a background curve
    assert own or seeds > 1, "the page has no curve of one trial"
    for line in own:
        assert np.allclose(line["y"], curves[line["name"]], rtol=1e-6), f"{line['name']} differs from the ledger"
    return len(page.encode())


def measure(storage: Path, repeats: int) -> Iterator[Cost]:
    """Measure each command several times, in turn."""
    costs = {command[0]: Cost(" ".join(command)) for command in COMMANDS}
    for _ in range(repeats):
        for command in COMMANDS:
            seconds, cpu_s, peak = _run([*command, "--storage", str(storage)])
            costs[command[0]].seconds.append(seconds)
            costs[command[0]].cpu_s.append(cpu_s)
            costs[command[0]].peak_mb.append(peak)
    yield from costs.values()


def _run(arguments: list[str]) -> tuple[float, float, float]:
    """Run a command; return seconds, CPU seconds and the peak resident memory in MB."""
    command = [sys.executable, "-c", "from tune_jobs.cli import main; main()", *arguments]
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)  # noqa: S603 - this program
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, f"convnn {' '.join(arguments)} ended with {process.returncode}"
    return time.monotonic() - begun, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        description="Time and memory of the report and of commands that read a large sweep."
    )
    parser.add_argument("--trials", type=int, default=5000)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--rule", choices=["none", "asha"], default="none")
    parser.add_argument("--seeds", type=int, default=1, help="seeds of each configuration")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--storage", type=Path, help="a folder that keeps the ledger for later runs")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="convnn-report-") as made:
        storage = given.storage or Path(made)
        folder = SweepFolder(storage / NAME)
        if not folder.ledger.exists():
            write_sweep(storage, given.trials, given.epochs, rule=given.rule, repeats=given.seeds)
        _run(["report", NAME, "--storage", str(storage)])
        size = check(folder, given.seeds)
        print(
            f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
            f"plotly {version('plotly')}, numpy {version('numpy')}; load {os.getloadavg()[0]:.1f}; "
            f"{given.trials} trials of {given.epochs} epochs, rule {given.rule}, {given.seeds} seeds; ledger "
            f"{folder.ledger.stat().st_size / 1e6:.0f} MB; page {size / 1e6:.1f} MB\n"
        )
        print("| command | median s | min to max s | median CPU s | peak MB | n |\n|---|---|---|---|---|---|")
        for cost in measure(storage, given.repeats):
            print(cost.row(), flush=True)
        print(f"\nload {os.getloadavg()[0]:.1f} at the end")
    return 0


if __name__ == "__main__":
    sys.exit(main())
