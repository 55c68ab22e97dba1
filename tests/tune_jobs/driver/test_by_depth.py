"""A sweep over layers by depth, from its file to the tables and MLflow, with scripted trials."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from mlflow import MlflowClient

from search_spaces import TrialConfig, parse_sweep
from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.run import Outcome, run
from tune_jobs.executors.inline import open_inline
from tune_jobs.executors.registry import add_executor
from tune_jobs.record.folder import SweepFolder
from tune_jobs.tracking.address import default_store
from tune_jobs.worker.reports import EpochDone, Report
from tune_jobs.worker.task import Task

FILE = """
name: depths
space:
  data: {name: digits}
  model:
    width: 0.125
    layers:
      conv1-conv2: {kind: hybrid, lambda: {choice: [0, 0.5, 1]}, k: 4}
      conv3-conv8: {kind: hybrid, lambda: {choice: [0, 0.5, 1]}, k: {int: [2, 9]}}
  training: {epochs: 2}
constraints: [model.layers.conv1-conv2.lambda <= model.layers.conv3-conv8.lambda]
search: {sampler: tpe, trials: 14, seed: 0}
resources: {min_free_gb: 0, max_concurrent: 1}
"""
NAMES = ("conv1-conv2 lambda", "conv3-conv8 lambda")


def lambdas(config: TrialConfig) -> tuple[float, float]:
    """Return the lambdas of the first and last layer of the model as it is built."""
    arguments = config.model.factory(10).arguments
    by_range = arguments.get("layers") or {"conv1-conv8": arguments}
    by_stage = {end: options["lam"] for name, options in by_range.items() for end in name.split("-")}
    first, last = by_stage["conv1"], by_stage["conv8"]
    return float(first), float(last)


def scripted(task: Task) -> Iterator[Report]:
    """Report accuracies that rise with lambda in late layers and fall with lambda in early layers."""
    early, late = lambdas(task.config)
    for epoch in (1, 2):
        yield EpochDone(epoch, {"val/accuracy": (0.5 + 0.3 * late - 0.2 * early) * epoch / 2})


add_executor("depths", open_inline(scripted))


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    found = tmp_path_factory.mktemp("storage")
    new_store(default_store(SweepFolder(found / "depths")))
    return found


@pytest.fixture(scope="module")
def outcome(storage: Path) -> Outcome:
    return run(parse_sweep(FILE), progress=False, storage=storage, executor="depths")


def test_tpe_searches_each_range_and_finds_the_best_lambdas(outcome: Outcome) -> None:
    trials = outcome.summary.rows
    assert len({row.run_key for row in trials}) == 14
    assert all(early <= late for early, late in (lambdas(row.config) for row in trials))
    assert outcome.best is not None
    assert lambdas(outcome.best.config) == (0, 1)


def test_every_table_has_the_lambda_of_each_range(outcome: Outcome, storage: Path) -> None:
    found = invoke_json("show", "depths", storage=storage)
    assert found["columns"][:2] == list(NAMES)
    for trial, row in zip(found["trials"], outcome.summary.rows, strict=True):
        assert tuple(trial["varying"][name] for name in NAMES) == lambdas(row.config)
    assert list(outcome.to_frame()[list(NAMES)].iloc[0]) == [0, 1]
    said = invoke("show", "depths", "--columns", "conv3-conv8.lambda", storage=storage)
    assert "conv3-conv8 lambda" in said
    assert "conv1-conv2 lambda" not in said


def test_mlflow_has_the_lambda_of_each_range_in_every_run(outcome: Outcome, storage: Path) -> None:
    client = MlflowClient(f"sqlite:///{default_store(SweepFolder(storage / 'depths'))}")
    experiment = client.get_experiment_by_name("depths")
    runs = {run.data.tags.get("run_key"): run for run in client.search_runs([experiment.experiment_id])}
    for row in outcome.summary.rows:
        found = runs[row.run_key]
        assert tuple(float(found.data.params[name]) for name in NAMES) == lambdas(row.config)
        early, late = (f"{share:g}" for share in lambdas(row.config))
        assert f"conv1-conv2 λ{early} conv3-conv8 λ{late}" in found.info.run_name


def test_more_trials_are_new_configurations(outcome: Outcome, storage: Path) -> None:
    more = run(parse_sweep(FILE, overrides=["search.trials=18"]), progress=False, storage=storage, executor="depths")
    keys = [row.run_key for row in more.summary.rows]
    assert len(keys) == len({*keys}) == 18
    assert {row.run_key for row in outcome.summary.rows} < {*keys}
