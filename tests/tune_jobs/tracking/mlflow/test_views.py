"""The first pages that a user sees of a sweep in MLflow."""

import getpass
import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from mlflow import MlflowClient

from search_spaces.headline import HEADLINE
from tests.tune_jobs.shipping import Recorded
from tune_jobs.results.columns import Column
from tune_jobs.tracking.mlflow.shipper import MLflowTracker
from tune_jobs.tracking.mlflow.views import (
    ALL,
    COMPLETE,
    LOCAL_SERVER,
    VIEW_TAG,
    experiment_tags,
    trials_page,
)


def state_of(view: str, tags: Mapping[str, str]) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(json.loads(tags[f"{VIEW_TAG}{view}"])["state"])
    return found


@pytest.mark.parametrize("view", [COMPLETE, ALL])
def test_a_view_has_the_columns_to_compare_trials_and_the_best_first(view: str) -> None:
    state = state_of(view, experiment_tags("val/loss", "minimize"))
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val/loss`", True)
    assert {"metrics.`val/loss`", "params.`lambda`", "params.`lr`"} <= set(state["selectedColumns"])


@pytest.mark.parametrize("view", [COMPLETE, ALL])
def test_the_charts_of_a_view_start_with_the_objective_against_common_parameters(view: str) -> None:
    columns = [Column("lambda", "lambda", axis="lambda"), Column("k", "k"), Column("lr", "lr", axis="lr")]
    state = state_of(view, experiment_tags("val/loss", "minimize", columns))
    plot, curves = state["compareRunCharts"]
    assert (plot["type"], plot["selectedParams"], plot["selectedMetrics"]) == (
        "PARALLEL",
        ["lambda", "lr"],
        ["val/loss"],
    )
    assert (curves["type"], curves["metricKey"]) == ("LINE", "val/loss")
    (section,) = state["compareRunSections"]
    assert {plot["metricSectionId"], curves["metricSectionId"]} == {section["uuid"]}


def test_parallel_coordinates_need_a_parameter_that_every_trial_has() -> None:
    state = state_of(ALL, experiment_tags("val/loss", "minimize", [Column("k", "k")]))
    assert [chart["type"] for chart in state["compareRunCharts"]] == ["LINE"]


def test_the_first_metric_of_a_run_is_the_objective(sweep: Recorded, uri: str) -> None:
    sweep.attempt()
    for epoch in (1, 2):
        sweep.ledger.add_epoch("a", 1, epoch, {"epoch_s": 1.0, "val/accuracy": 0.5, "val/loss": 1.0})
        sweep.ship(uri)
    assert list(sweep.run(uri).data.metrics) == ["val/accuracy", "epoch_s", "val/loss"]


COLUMNS = [
    Column(key, key.rpartition(".")[2]) for key in ("kind", "lambda", "k", "lr", "training.epochs", "training.seed")
]


def test_a_run_is_named_by_its_varying_fields_and_describes_its_trial(sweep: Recorded, uri: str) -> None:
    sweep.ledger.meta.set_digest("digits.train", "a" * 64)
    sweep = replace(sweep, columns=COLUMNS)
    sweep.attempt([1], "complete")
    sweep.ship(uri)
    run = sweep.run(uri)
    assert run.info.run_name == "001 hybrid λ0.25 k4 lr1e-4 epochs5"
    assert run.data.tags["mlflow.user"] == getpass.getuser()
    assert run.data.tags["mlflow.source.name"] == f"convnn run {sweep.folder.name}"
    assert f"convnn show {sweep.folder.name} 1" in run.data.tags["mlflow.note.content"]
    (images,) = run.inputs.dataset_inputs
    assert (images.dataset.name, images.dataset.digest) == ("digits.train", "a" * 36)
    assert "a" * 64 in images.dataset.source
    assert [tag.value for tag in images.tags] == ["training"]
    selected = state_of(COMPLETE, experiment_tags("val/loss", "minimize", COLUMNS))["selectedColumns"]
    names = [*HEADLINE, "model.layer.kind", "model.attention.kind", "training.epochs", "training.seed"]
    assert selected == ["metrics.`val/loss`", *(f"params.`{name}`" for name in names)]


def test_the_views_leave_out_parent_and_superseded_runs_and_one_incomplete_ones(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "interrupted")
    sweep.attempt([2, 3], "complete")
    sweep.attempt([1, 2, 3], "diverged", trial="b")
    sweep.attempt([1], "stopped", trial="c")
    sweep.ship(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(sweep.experiment)

    def shown(view: str) -> list[str]:
        state = state_of(view, experiment.tags)
        order = [f"{state['orderByKey']} DESC"]
        runs = client.search_runs([experiment.experiment_id], state["searchFilter"], order_by=order)
        return [run.data.tags["run_key"] for run in runs]

    assert shown(COMPLETE) == ["a"]
    assert sorted(shown(ALL)) == ["a", "b", "c"]


def test_a_view_changed_by_users_stays_and_their_experiments_get_one(sweep: Recorded, uri: str) -> None:
    client = MlflowClient(uri)
    theirs = {"mlflow.experimentKind": "classification"}
    number = client.create_experiment(sweep.experiment, str(sweep.folder.path / "artifacts"), tags=theirs)
    sweep.attempt([1], "complete")
    sweep.ship(uri)
    tags = client.get_experiment(number).tags
    assert tags["mlflow.experimentKind"] == "classification"
    assert {f"{VIEW_TAG}{view}" for view in (COMPLETE, ALL)} <= tags.keys()
    client.set_experiment_tag(number, f"{VIEW_TAG}{ALL}", "changed")
    sweep.attempt([1], "complete", trial="b")
    sweep.ship(uri)
    assert client.get_experiment(number).tags[f"{VIEW_TAG}{ALL}"] == "changed"


def test_a_sweeps_own_run_names_the_best_trial_and_links_to_its_run(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.attempt([1], "failed", "RuntimeError: boom", "user_error", trial="b")
    sweep.ship(uri)
    said = sweep.parent(uri).data.tags["mlflow.note.content"]
    (run,) = [run for run in sweep.runs(uri) if run.data.tags["run_key"] == "a"]
    assert said.startswith(f"Best: **[trial 1](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?")
    assert "val/accuracy **12.00%**.\n1 trials have ended without a failure" in said
    assert said.count("\n| ") == 3  # the header, its line, and the trial that counts


def test_a_sweep_without_a_result_says_so(sweep: Recorded, uri: str) -> None:
    sweep.attempt([], "failed", "RuntimeError: boom", "user_error")
    sweep.ship(uri)
    assert sweep.parent(uri).data.tags["mlflow.note.content"].startswith("0 trials have ended without a failure")


def test_the_page_of_the_trials_is_known_after_the_first_sync(sweep: Recorded, uri: str) -> None:
    assert sweep.tracker(uri).tracked(sweep.ledger).page is None
    sweep.attempt([1], "stopped")
    sweep.ship(uri)
    number = sweep.run(uri).info.experiment_id
    assert sweep.tracker(uri).tracked(sweep.ledger).page == trials_page(uri, number, ALL)  # the other view is empty
    sweep.attempt([1], "complete", trial="b")
    assert sweep.tracker(uri).tracked(sweep.ledger).page == trials_page(uri, number, COMPLETE)
    assert MLflowTracker(sweep.destination(uri, "another")).tracked(sweep.ledger).page is None


def test_an_sqlite_store_has_a_local_page_and_a_database_has_none() -> None:
    assert str(trials_page("sqlite:////a/mlflow.db", "1")).startswith(f"{LOCAL_SERVER}/#/experiments/1/runs?")
    assert str(trials_page("https://host/mlflow/", "1")).startswith("https://host/mlflow/#/experiments/1/runs?")
    assert trials_page("postgresql://host/mlflow", "1") is None


def test_a_trackers_password_is_not_shown(sweep: Recorded) -> None:
    assert sweep.tracker("https://me:secret@host").tracked(sweep.ledger).uri == "https://host"
