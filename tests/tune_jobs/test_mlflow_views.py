"""What a person sees first of a sweep in MLflow."""

import json

from mlflow import MlflowClient

from tests.tune_jobs.shipping import Recorded
from tune_jobs.mlflow_views import VIEW_TAG, experiment_tags


def test_the_view_has_each_trial_once_and_the_best_first() -> None:
    state = json.loads(json.loads(experiment_tags("val/loss", "minimize")[VIEW_TAG])["state"])
    assert (state["orderByKey"], state["orderByAsc"]) == ("metrics.`val/loss`", True)
    assert {"metrics.`val/loss`", "metrics.`gflops`", "params.`lambda`"} <= set(state["selectedColumns"])


def test_the_filter_of_the_view_leaves_out_the_sweeps_own_run_and_what_was_done_again(
    sweep: Recorded, uri: str
) -> None:
    sweep.attempt([1, 2], "interrupted")
    sweep.attempt([2, 3], "complete")
    sweep.ship(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(sweep.experiment)
    state = json.loads(json.loads(experiment.tags[VIEW_TAG])["state"])
    found = client.search_runs(
        [experiment.experiment_id], state["searchFilter"], order_by=[f"{state['orderByKey']} DESC"]
    )
    assert [run.info.run_id for run in found] == [sweep.run(uri).info.run_id]


def test_a_view_that_people_have_changed_stays_and_an_experiment_of_theirs_gets_one(sweep: Recorded, uri: str) -> None:
    client = MlflowClient(uri)
    theirs = {"mlflow.experimentKind": "classification"}
    number = client.create_experiment(sweep.experiment, str(sweep.folder.path / "artifacts"), tags=theirs)
    sweep.attempt([1], "complete")
    sweep.ship(uri)
    tags = client.get_experiment(number).tags
    assert tags["mlflow.experimentKind"] == "classification"
    assert VIEW_TAG in tags
    client.set_experiment_tag(number, VIEW_TAG, "changed")
    sweep.attempt([1], "complete", trial="b")
    sweep.ship(uri)
    assert client.get_experiment(number).tags[VIEW_TAG] == "changed"


def test_a_sweeps_own_run_names_the_best_trial_and_links_to_its_run(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.attempt([1], "failed", "RuntimeError: boom", "user_error", trial="b")
    sweep.ship(uri)
    said = sweep.parent(uri).data.tags["mlflow.note.content"]
    (run,) = [run for run in sweep.runs(uri) if run.data.tags["run_key"] == "a"]
    assert said.startswith(f"Best: **[trial 1](#/experiments/{run.info.experiment_id}/runs/{run.info.run_id}?")
    assert "val/accuracy **0.1200**.\n1 trials have ended without a failure" in said
    assert said.count("\n| ") == 3  # the head, its line, and the trial that counts


def test_a_sweep_without_a_result_says_so(sweep: Recorded, uri: str) -> None:
    sweep.attempt([], "failed", "RuntimeError: boom", "user_error")
    sweep.ship(uri)
    assert sweep.parent(uri).data.tags["mlflow.note.content"].startswith("0 trials have ended without a failure")
