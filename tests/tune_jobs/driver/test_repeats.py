"""A sweep with several seeds, from its file to every table and the tracker. The trials are scripted."""

from collections.abc import Iterator
from pathlib import Path
from statistics import fmean, stdev
from typing import Any

import pytest
from mlflow import MlflowClient

from search_spaces import SweepSpec, config_key, parse_sweep
from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.run import Outcome, run
from tune_jobs.executors.inline import open_inline
from tune_jobs.executors.registry import add_executor
from tune_jobs.record.folder import SweepFolder
from tune_jobs.tracking.address import default_store
from tune_jobs.worker.reports import AttemptFailed, EpochDone, Report
from tune_jobs.worker.task import Task

FILE = """
name: seeds
space:
  data: {name: digits}
  model: {width: 0.125, layer: {kind: hybrid, lambda: {choice: [0.25, 0.5, 0.75]}, k: 4}}
  training: {epochs: 2}
search: {sampler: grid, repeats: 3}
resources: {min_free_gb: 0, max_concurrent: 1}
"""
VALUES = {0.25: (0.5, 0.7, 0.6), 0.5: (0.9, 0.1, 0.2), 0.75: (0.8, None, 0.8)}
"""By lambda and seed; with lambda 0.75 the second seed diverges."""


def scripted(task: Task) -> Iterator[Report]:
    value = VALUES[task.config.model.mixing_layer.lam][task.config.training.seed % 3]  # type: ignore[attr-defined]
    size = {"params": 1.0, "gflops": 1.0, "gflops_published": 1.0}
    for epoch in (1, 2):
        if value is None:
            yield AttemptFailed("diverged", "the loss is nan")
            return
        yield EpochDone(epoch, {"val/accuracy": value * epoch / 2, **size})


add_executor("repeats", open_inline(scripted))


def go(storage: Path, *overrides: str) -> Outcome:
    spec: SweepSpec = parse_sweep(FILE, overrides=overrides)
    return run(spec, progress=False, storage=storage, executor="repeats")


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The storage folder of an ended sweep that had paused in the middle of a configuration."""
    place = tmp_path_factory.mktemp("storage")
    new_store(default_store(SweepFolder(place / "seeds")))
    first = go(place, "budget.trials=5")
    assert first.halt is not None
    assert "the budget of 5 trials is used up" in first.halt.message
    assert first.summary.used.trials == 5
    assert not first.summary.whole
    last = go(place)
    assert last.halt is None
    assert last.summary.whole
    assert last.tracked.error is None
    return place


def test_every_table_compares_configurations_by_their_mean(storage: Path) -> None:
    said = invoke("show", "seeds", storage=storage)
    assert "seeds: 3 of 3 configurations ended   trials: 8 complete, 1 diverged   done" in said
    assert "Ranked by the mean over 3 seeds; configurations with fewer seeds come after them." in said
    lines = [line.split() for line in said.splitlines()]
    assert ["1,", "2,", "3", "0.25", "2/2", "60.00%", "10.00%", "3", "complete"] in lines
    assert ["7,", "8,", "9", "0.75", "2/2", "80.00%", "0.00%", "2", "of", "3", "diverged"] in lines
    best = invoke("best", "seeds", "--top", 2, storage=storage)
    assert best.index("60.00%") < best.index("40.00%")
    assert "80.00%" not in best
    assert "seed: 1" in best  # the best trial's file, 70% with it
    assert "3/3 x 3 seeds" in invoke("list", storage=storage)
    trial = invoke("show", "seeds", 2, storage=storage)
    assert "another seed (1) of trial 1; its configuration (with trials 1, 3): mean 60.00%, sd 10.00%, 3 seeds" in trial


def test_programs_get_fractions(storage: Path) -> None:
    told = invoke_json("show", "seeds", storage=storage)
    assert (told["planned"], told["repeats"], told["configurations_ended"], told["used"]["trials"]) == (3, 3, 3, 9)
    first, *_ = told["seeds"]
    assert first == {"mean": fmean([0.5, 0.7, 0.6]), "sd": stdev([0.5, 0.7, 0.6]), "seeds": 3, "trials": [1, 2, 3]}
    assert [group["seeds"] for group in told["seeds"]] == [3, 3, 2]
    trials = {row["trial"]: row for row in told["trials"]}
    assert (trials[2]["repeat_of"], trials[2]["seed"], trials[1]["repeat_of"]) == (trials[1]["run_key"], 1, None)
    (listed,) = invoke_json("list", storage=storage)["sweeps"]
    assert listed["best"] == fmean([0.5, 0.7, 0.6])
    best = invoke_json("best", "seeds", "--top", 9, storage=storage)
    assert [row["trial"] for row in best["trials"]] == [2, 4, 7]


def test_mlflow_has_a_run_for_each_seed_with_its_configuration(storage: Path) -> None:
    client = MlflowClient(f"sqlite:///{default_store(SweepFolder(storage / 'seeds'))}")
    runs = client.search_runs([client.get_experiment_by_name("seeds").experiment_id])
    parent: Any = next(found for found in runs if found.data.tags["run_key"] == "sweep")
    assert parent.data.metrics["best/val/accuracy"] == fmean([0.5, 0.7, 0.6])
    assert parent.data.metrics["best/val/accuracy/sd"] == stdev([0.5, 0.7, 0.6])
    assert parent.data.metrics["best/seeds"] == 3
    assert "mean 60.00%, sd 10.00%, 3 seeds" in parent.data.tags["mlflow.note.content"]
    children = {found.info.run_name: found.data.tags for found in runs if found is not parent}
    assert len(children) == 9
    outcome = go(storage)
    for row in outcome.summary.rows:
        name = next(name for name in children if name.startswith(f"{row.number:03d} "))
        assert children[name]["mlflow.parentRunId"] == parent.info.run_id
        assert children[name]["config_key"] == config_key(row.config)
        assert children[name].get("repeat_of") == row.repeat_of
        assert name.endswith(f" seed{row.config.training.seed}") == bool(row.repeat_of)


def test_the_report_shows_the_mean_of_each_configuration(storage: Path) -> None:
    page = (storage / "seeds" / "report.html").read_text()
    assert "configurations ended" in page
    assert "its configuration over 3 seeds: 60.00% ± 10.00%" in page
    assert ">2 of 3<" in page
