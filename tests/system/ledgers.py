"""The base of the system tests: a sweep of a few seconds, and reading all values back from MLflow."""

import contextlib
import math
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from tests.faults.bench import ROOT
from tests.faults.driving import END_S
from tests.faults.sweeps import Sweep
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger

Numbers = list[tuple[int, str, int]]
"""Per metric: epoch, value, time in milliseconds. Values are text, so that nan equals nan."""


def begin(storage: Path, sweep: Sweep, tracker: str) -> "subprocess.Popen[str]":
    """Start a sweep with synthetic values in a separate process, and sync it meanwhile."""
    command = [
        sys.executable,
        "-m",
        "tests.system.made_up",
        str(sweep.write(storage / f"{sweep.name}.yaml")),
        str(storage),
    ]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        cwd=ROOT,
        env={**os.environ, "MLFLOW_TRACKING_URI": tracker},
    )


def end(driver: "subprocess.Popen[str]") -> str:
    """Wait for its end; return its output."""
    said, _ = driver.communicate(timeout=END_S)
    assert driver.returncode == 0, said
    return said


def _numbers(found: Iterator[tuple[int, float, int]]) -> Numbers:
    return sorted((epoch, "nan" if math.isnan(value) else repr(value), at) for epoch, value, at in found)


def recorded(folder: SweepFolder) -> dict[str, dict[str, Numbers]]:
    """Return every metric of every trial's effective curve, from the ledger."""
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        found: dict[str, dict[str, Numbers]] = {}
        for trial in ledger.trials():
            course = {e.epoch: e for e in sorted(ledger.epochs(trial.run_key), key=lambda e: e.attempt)}.values()
            names = {name for epoch in course for name in epoch.metrics}
            found[trial.run_key] = {
                name: _numbers((e.epoch, e.metrics[name], int(e.at * 1000)) for e in course if name in e.metrics)
                for name in names
            }
        return found


def shipped(uri: str, experiment: str, sweep: str) -> dict[str, dict[str, Numbers]]:
    """Return the same from MLflow's runs that count; fail if two runs of a trial count."""
    client = MlflowClient(uri)
    found: dict[str, dict[str, Numbers]] = {}
    for run in counting(uri, experiment, sweep):
        assert run.info.status != "RUNNING", f"{run.info.run_name} is open"
        key = run.data.tags["run_key"]
        if key == "sweep":
            continue
        assert key not in found, f"{key} has two runs that count"
        found[key] = {}
        for name in run.data.metrics:
            history = client.get_metric_history(run.info.run_id, name)
            found[key][name] = _numbers((m.step, m.value, m.timestamp) for m in history)
    return found


def counting(uri: str, experiment: str, sweep: str) -> list[Any]:
    """Return the sweep's runs in MLflow that are not superseded, including the parent."""
    client = MlflowClient(uri)
    place = client.get_experiment_by_name(experiment)
    runs = client.search_runs([place.experiment_id], f"tags.sweep = '{sweep}'", max_results=1000)
    return [run for run in runs if "superseded" not in run.data.tags]


@dataclass(frozen=True)
class Shipped:
    """A sweep in a storage folder, and in the experiment of its name on the server at `uri`."""

    storage: Path
    name: str
    uri: str

    @property
    def folder(self) -> SweepFolder:
        """The sweep's folder."""
        return SweepFolder(self.storage / self.name)

    @property
    def experiment_id(self) -> str:
        """MLflow's id of its experiment."""
        return str(MlflowClient(self.uri).get_experiment_by_name(self.name).experiment_id)

    @property
    def parent(self) -> Any:
        """The sweep's own run."""
        (parent,) = [run for run in counting(self.uri, self.name, self.name) if run.data.tags["run_key"] == "sweep"]
        return parent

    def trials(self) -> list[Any]:
        """The runs of its trials, the best first."""
        runs = [run for run in counting(self.uri, self.name, self.name) if run.data.tags["run_key"] != "sweep"]
        return sorted(runs, key=lambda run: (-run.data.metrics["val/accuracy"], run.info.start_time))

    def numbers(self) -> dict[str, dict[str, Numbers]]:
        """Every value of every trial in MLflow."""
        return shipped(self.uri, self.name, self.name)
