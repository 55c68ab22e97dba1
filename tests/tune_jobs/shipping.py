"""Recorded sweeps, written to ledgers without training, and their content in MLflow."""

import contextlib
import functools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mlflow import MlflowClient

from search_spaces import TrialConfig
from tune_jobs.failures import Failure
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import State
from tune_jobs.report import draw_at_end
from tune_jobs.results.columns import Column
from tune_jobs.tracking.base import Destination
from tune_jobs.tracking.mlflow.shipper import MLflowTracker

MODEL = {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.25, "k": 4}}


@dataclass(frozen=True)
class Recorded:
    """A sweep that exists only in its ledger."""

    folder: SweepFolder
    ledger: Ledger
    columns: Sequence[Column] = ()

    @property
    def experiment(self) -> str:
        """The name of the experiment; each sweep has its own."""
        return f"of {self.ledger.meta.sweep_id}"

    def attempt(
        self,
        epochs: Iterable[int] = (),
        state: State | None = None,
        reason: str | None = None,
        failure: Failure | None = None,
        *,
        trial: str = "a",
    ) -> int:
        """Add an attempt that ran these epochs, still running without a `state`, and return its number."""
        if trial not in [known.run_key for known in self.ledger.trials(role=None)]:
            config = TrialConfig.model_validate({"model": MODEL, "training": {"epochs": 5}})
            self.ledger.add_trial({}, config, trial)
        number = self.ledger.start_attempt(trial, gpus=0.5, cpus=2)
        self.epochs(number, epochs, trial=trial)
        if state is not None:
            self.ledger.end_attempt(trial, number, state, reason, failure)
        return number

    def epochs(self, attempt: int, epochs: Iterable[int], *, trial: str = "a") -> None:
        """Add epochs to an attempt; their values depend on its number."""
        for epoch in epochs:
            self.ledger.add_epoch(trial, attempt, epoch, {"val/accuracy": value(attempt, epoch), "train/loss": 1.0})

    def destination(self, uri: str, experiment: str | None = None) -> Destination:
        """Return where the sweep is tracked."""
        draw = functools.partial(draw_at_end, self.folder, 0)
        tags = {"git_dirty": "false"}
        return Destination(self.folder, uri, experiment or self.experiment, tags, draw, self.columns)

    def tracker(self, uri: str) -> MLflowTracker:
        """Return a tracker that polls often."""
        return MLflowTracker(self.destination(uri), every_s=0.05)

    def ship(self, uri: str) -> None:
        """Ship everything, as a new driver does."""
        tracker = self.tracker(uri)
        tracker.start()
        assert tracker.close(60) is None

    def runs(self, uri: str) -> list[Any]:
        """Return the MLflow runs of the sweep's trials, deleted ones included, ordered by trial and attempt."""
        return [run for run in self._all(uri) if "mlflow.parentRunId" in run.data.tags]

    def run(self, uri: str) -> Any:
        """Return the only trial run that is not superseded."""
        (run,) = [run for run in self.runs(uri) if "superseded" not in run.data.tags]
        return run

    def parent(self, uri: str) -> Any:
        """Return the only run of the sweep itself that is not superseded."""
        parents = [run for run in self._all(uri) if run.data.tags["run_key"] == "sweep"]
        (parent,) = [run for run in parents if "superseded" not in run.data.tags]
        return parent

    def _all(self, uri: str) -> list[Any]:
        client = MlflowClient(uri)
        experiment = client.get_experiment_by_name(self.experiment)
        runs = client.search_runs([experiment.experiment_id], run_view_type=3, max_results=1000)
        return sorted(runs, key=lambda run: (run.data.tags["run_key"], int(run.data.tags["attempt"])))

    def expect_whole(self, uri: str) -> None:
        """Check that each trial has one current run, with every current epoch once and at the ledger's times."""
        counting = {r.data.tags["run_key"]: r for r in self.runs(uri) if "superseded" not in r.data.tags}
        assert len(counting) == sum("superseded" not in run.data.tags for run in self.runs(uri))
        for trial in self.ledger.trials():
            curve = {e.epoch: e for e in sorted(self.ledger.epochs(trial.run_key), key=lambda e: e.attempt)}
            recorded = [(e.epoch, e.metrics["val/accuracy"], int(e.at * 1000)) for e in curve.values()]
            assert history(uri, counting[trial.run_key]) == sorted(recorded)
        assert "RUNNING" not in {run.info.status for run in self._all(uri)}


def value(attempt: int, epoch: int) -> float:
    """Return the value of an attempt at an epoch."""
    return attempt / 10 + epoch / 100


def history(uri: str, run: Any, name: str = "val/accuracy") -> list[tuple[int, float, int]]:
    """Return the history of a metric in MLflow: epoch, value, time."""
    found = MlflowClient(uri).get_metric_history(run.info.run_id, name)
    return sorted((metric.step, metric.value, metric.timestamp) for metric in found)


@contextlib.contextmanager
def recorded(place: Path, name: str = "tracked") -> Iterator[Recorded]:
    """Yield an empty sweep in a folder with a space in its name."""
    folder = SweepFolder(place / "my sweeps" / name)
    folder.path.mkdir(parents=True)
    folder.spec.write_text(f"name: {name}")
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        yield Recorded(folder, ledger)
