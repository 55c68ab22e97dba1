"""The champion of a real, small confirmation: named by the record, and in a real MLflow store."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow
import pytest
from mlflow import MlflowClient

from convnn.data import limited, load_dataset
from search_spaces import parse_sweep
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.run import run
from tune_jobs.driver.sync import sync_recorded
from tune_jobs.errors import UsageError
from tune_jobs.evidence.confirm import Wanted, confirm, openings
from tune_jobs.evidence.outcome import Confirmed
from tune_jobs.executors.base import Executor, Order
from tune_jobs.executors.inline import InlineExecutor
from tune_jobs.executors.registry import add_executor
from tune_jobs.loading import load_model
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.history import history
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task

LIMIT = 80
FILE = f"""
name: searched
space:
  data: {{name: digits, limit: {LIMIT}}}
  model:
    width: 0.0625
    classifier_width: 16
    layer: {{any_of: [{{kind: conv2d}}, {{kind: hybrid, lambda: 0.5, k: 3}}]}}
  training: {{lr: 3e-3, epochs: 2, batch_size: 16}}
search: {{sampler: grid}}
resources: {{checkpoint_every_s: 0, min_free_gb: 0}}
"""
SOON = Wanted(margin=1.0)
"""Differences below 100 points do not matter: few seeds are enough."""


def _train(task: Task) -> Iterator[Report]:
    task.folder.mkdir(parents=True, exist_ok=True)
    yield from train_task(task)


@contextlib.contextmanager
def _inline(_: Order) -> Iterator[Executor]:
    yield InlineExecutor(_train, slots=2)


add_executor("champion-test", _inline)


def confirmed(folder: SweepFolder, wanted: Wanted = SOON, **tracking: str) -> Confirmed:
    overrides = [f"tracking.{name}={value}" for name, value in tracking.items()]
    return confirm(folder, wanted, progress=False, overrides=overrides, executor="champion-test")


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    """A sweep that is done and in the store of its storage folder."""
    storage = tmp_path_factory.mktemp("storage")
    new_store(storage / "mlflow.db")
    return run(parse_sweep(FILE), progress=False, storage=storage, executor="champion-test").folder


@pytest.fixture(scope="module")
def found(searched: SweepFolder) -> Confirmed:
    """Its confirmation."""
    return confirmed(searched)


def uri_of(folder: SweepFolder) -> str:
    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        assert ledger.meta.tracker is not None
        return ledger.meta.tracker


def versions(uri: str, name: str = "searched") -> list[Any]:
    return list(MlflowClient(uri).search_model_versions(f"name = '{name}'"))


@pytest.mark.filterwarnings("ignore:.*Any type hint is inferred")  # from MLflow's own import
def test_the_alias_loads_the_model_that_has_the_recorded_test_accuracy(
    searched: SweepFolder, found: Confirmed, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert found.champion is not None
    assert found.tracked is not None
    assert found.tracked.model == "models:/searched@champion (version 1)"
    images = load_dataset("digits", None).test
    chosen = limited(images.labels, LIMIT)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri_of(searched))
    loaded = mlflow.pyfunc.load_model("models:/searched@champion")
    right = (loaded.predict(images.pixels[chosen]) == images.labels[chosen]).mean()
    recorded = history(searched, "champion")
    assert recorded.row.metrics["test/accuracy"] == right
    ours = load_model(searched.path, "champion")
    assert ours.predict(images.pixels[chosen]).tolist() == loaded.predict(images.pixels[chosen]).tolist()
    assert ours.config.training.seed == found.plan.first_seed
