"""A tracker with a large sweep: the time to sync it, and the loading time of MLflow's pages.

Run: `python -m benchmarks.tracker`, with Debian's packages of docker/apt.txt, as root; about half an hour on two cores.
It writes a ledger of 200 trials of 150 epochs and syncs it as `convnn sync` does, to an MLflow server on SQLite and on
PostgreSQL, each time into a new experiment. Before any page is timed, every epoch's accuracy is read back and compared
with the ledger. A new browser opens each page, and the page counts as loaded when its table or plot is visible.
"""

import argparse
import contextlib
import math
import os
import platform
import random
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

from mlflow import MlflowClient

from search_spaces import TrialConfig
from tests.system.browser import MlflowPages, axes, browser
from tests.system.postgres import postgres
from tests.tune_jobs.servers import free_port, mlflow_server
from tune_jobs.driver.sync import sync
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.mlflow.store import set_environment
from tune_jobs.tracking.mlflow.views import COMPLETE

NAME = "large"
COMPARED = 50
"""Runs on a comparison page."""

FULL = 10
"""Rows that fill the first screen of a table."""


@dataclass(frozen=True)
class Figure:
    """One measurement of one store, in seconds."""

    store: str
    what: str
    seconds: list[float]

    def row(self) -> str:
        """Return the table row."""
        times = sorted(self.seconds)
        return (
            f"| {self.store} | {self.what} | {statistics.median(times):.1f} | {times[0]:.1f} to {times[-1]:.1f} | "
            f"{len(times)} |"
        )


def write_sweep(place: Path, trials: int, epochs: int) -> SweepFolder:
    """Write the ledger of a finished sweep with synthetic learning curves."""
    folder = SweepFolder(place / NAME)
    folder.path.mkdir(parents=True)
    folder.spec.write_text(f"name: {NAME}\n")
    rng = random.Random(0)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger.meta.metric = "val/accuracy"
        for number in range(trials):
            k, share, lr = rng.randint(4, 12), rng.choice([0.25, 0.5, 0.75]), 10 ** rng.uniform(-5, -3)
            layer = {"kind": "hybrid", "lambda": share, "k": k}
            layer |= {"candidates": {"kind": "random", "r": rng.randint(16, 256), "when_too_few": "all"}}
            training = {"lr": lr, "epochs": epochs}
            config = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": layer}, "training": training})
            key = f"{number:016x}-s0"
            ledger.add_trial({}, config, key)
            attempt = ledger.start_attempt(key, cpus=1)
            for epoch in range(1, epochs + 1):
                ledger.add_epoch(key, attempt, epoch, _metrics(epoch, number, rng))
            ledger.end_attempt(key, attempt, "complete")
    return folder


def _metrics(epoch: int, number: int, rng: random.Random) -> dict[str, float]:
    reached = (1 - math.exp(-epoch / 30)) * (0.6 + number % 40 / 100)
    metrics = {"epoch_s": 20 + rng.random(), "images_per_s": 2000 + 100 * rng.random()}
    for part in ("train", "val"):
        metrics |= {f"{part}/loss": 2.3 * (1 - reached) + rng.random() / 50}
        metrics |= {f"{part}/accuracy": reached + rng.random() / 50}
    if epoch == 1:
        metrics |= {"params": 128e6, "gflops": 0.3 + number / 1000, "gflops_published": 0.3}
    return metrics


def check(folder: SweepFolder, uri: str, experiment: str) -> str:
    """Check that MLflow has each trial's accuracy at each epoch exactly once; return the experiment's number.

    Raises:
        AssertionError: If it does not.
    """
    client = MlflowClient(uri)
    number = str(client.get_experiment_by_name(experiment).experiment_id)
    runs = client.search_runs([number], "params.lambda IS NOT NULL", max_results=1000)
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        expected = _accuracies(ledger)
    for run in runs:
        history = client.get_metric_history(run.info.run_id, "val/accuracy")
        found = sorted((metric.step, metric.value) for metric in history)
        assert found == expected.pop(run.data.tags["run_key"]), f"{run.info.run_name} differs from the ledger"
    assert not expected, f"{len(expected)} trials are not in MLflow"
    return number


def _accuracies(ledger: Ledger) -> dict[str, list[tuple[int, float]]]:
    found: dict[str, list[tuple[int, float]]] = {}
    for epoch in ledger.epochs():
        found.setdefault(epoch.run_key, []).append((epoch.epoch, epoch.metrics["val/accuracy"]))
    return found


def measure(store: str, uri: str, folder: SweepFolder, repeats: int) -> Iterator[Figure]:
    """Sync, check, and open the pages."""
    experiments = [f"{NAME} {repeat + 1}" for repeat in range(repeats)]
    yield Figure(store, "sync", [_timed(lambda e=e: sync(folder, uri, e, {})) for e in experiments])  # type: ignore[misc]
    number = check(folder, uri, experiments[-1])
    nothing = [_timed(lambda: sync(folder, uri, experiments[-1], {})) for _ in range(repeats)]
    yield Figure(store, "sync again, nothing new", nothing)
    found = MlflowClient(uri).search_runs([number], "params.lambda IS NOT NULL", max_results=COMPARED)
    runs = [run.info.run_id for run in found]
    opened: dict[str, list[float]] = {"experiment": [], "view of the trials": [], f"{len(runs)} runs compared": []}
    for _ in range(repeats):
        with tempfile.TemporaryDirectory() as pictures:
            times = _pages(uri, number, runs, Path(pictures))
        for what, seconds in zip(opened, times, strict=True):
            opened[what].append(seconds)
    for what, times in opened.items():
        yield Figure(store, what, times)


def _pages(uri: str, number: str, runs: list[str], pictures: Path) -> list[float]:
    """Return the seconds until each page is usable, each in a new browser."""
    times = []
    for show in (
        lambda pages: (pages.experiment(number), pages.window.sees(NAME, "matching runs")),
        lambda pages: (pages.experiment(number, COMPLETE), pages.window.wait("rows", lambda: len(pages.rows()) > FULL)),
        lambda pages: (pages.comparison(number, runs), pages.window.wait("a plot", lambda: axes(pages.window))),
    ):
        with browser(pictures) as window:
            pages = MlflowPages(window, uri)
            times.append(_timed(lambda show=show, pages=pages: show(pages)))  # type: ignore[misc]
    return times


def _timed(action: Callable[[], object]) -> float:
    begun = time.monotonic()
    action()
    return time.monotonic() - begun


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description="A tracker with a large sweep: sync time and page loading time.")
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--epochs", type=int, default=150)
    parser.add_argument("--repeats", type=int, default=3)
    arguments = parser.parse_args()
    set_environment()
    with contextlib.ExitStack() as stack:
        place = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="convnn-tracker-")))
        folder = write_sweep(place, arguments.trials, arguments.epochs)
        database = stack.enter_context(postgres())
        print(
            f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, "
            f"MLflow {version('mlflow')}, PostgreSQL {database.version().split()[0]}; "
            f"{arguments.trials} trials of {arguments.epochs} epochs\n"
        )
        print("| store | action | median s | min to max s | n |\n|---|---|---|---|---|")
        for store, address, workers in (("SQLite", None, 1), ("PostgreSQL", database.database("tracker"), 2)):
            server = place / store
            server.mkdir()
            with mlflow_server(server, free_port(), address, workers) as started:
                for figure in measure(store, started.uri, folder, arguments.repeats):
                    print(figure.row(), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
