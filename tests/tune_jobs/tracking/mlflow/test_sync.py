"""A sweep in MLflow, with an SQLite store, which accepts everything immediately."""

import json
import math
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tune_jobs.report.drawn import words
from tests.tune_jobs.shipping import Recorded, history, recorded, value
from tune_jobs.tracking.address import sqlite_file, tracker_of
from tune_jobs.tracking.mlflow.views import COMPLETE, VIEW_TAG


def numbers(uri: str, run: object) -> list[tuple[int, float]]:
    return [(epoch, value) for epoch, value, _ in history(uri, run)]


def test_an_attempt_that_resumes_from_a_checkpoint_continues_the_same_run(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "interrupted", "the driver ended")
    sweep.ship(uri)
    sweep.attempt()
    sweep.ship(uri)
    sweep.epochs(2, [3, 4, 5])
    sweep.ledger.end_attempt("a", 2, "complete")
    sweep.ship(uri)
    (run,) = sweep.runs(uri)
    assert [epoch for epoch, _ in numbers(uri, run)] == [1, 2, 3, 4, 5]
    assert run.info.status == "FINISHED"
    assert (run.data.tags["state"], run.data.tags["reason"]) == ("complete", "none")
    sweep.expect_whole(uri)


def test_a_trial_that_continues_on_another_machine_is_tagged_while_it_runs(sweep: Recorded, uri: str) -> None:
    places = []
    for number, (host, device) in enumerate((("node-1", "NVIDIA A100"), ("node-2", "NVIDIA H200")), start=1):
        sweep.attempt()
        sweep.ledger.set_host("a", number, host)
        sweep.ledger.set_origin("a", number, 2 * (number - 1), None, device)
        sweep.epochs(number, [2 * number - 1, 2 * number])
        sweep.ship(uri)
        tags = sweep.run(uri).data.tags
        places.append((tags["host"], tags["device"]))
        sweep.ledger.end_attempt("a", number, "interrupted")
    assert places == [("node-1", "NVIDIA A100"), ("node-2", "NVIDIA H200")]


@pytest.mark.parametrize("at_once", [True, False])
def test_an_attempt_that_repeats_epochs_opens_a_new_run_with_the_earlier_epochs(
    sweep: Recorded, uri: str, *, at_once: bool
) -> None:
    sweep.attempt([1, 2, 3], "interrupted", "the driver ended")
    if not at_once:
        sweep.ship(uri)
    sweep.attempt([2, 3, 4, 5], "complete")
    sweep.ship(uri)
    first, second = sweep.runs(uri)
    assert (first.info.status, first.data.tags["superseded"]) == ("KILLED", "true")
    assert numbers(uri, first) == [(epoch, value(1, epoch)) for epoch in (1, 2, 3)]
    assert numbers(uri, second) == [(1, value(1, 1)), *((epoch, value(2, epoch)) for epoch in (2, 3, 4, 5))]
    assert second.info.run_name.endswith(" (attempt 2)")
    sweep.expect_whole(uri)


def test_epochs_that_a_later_attempt_did_not_reach_still_count(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2, 3, 4, 5], "interrupted")
    sweep.attempt([3], "failed", "RuntimeError: boom", "user_error")
    sweep.ship(uri)
    sweep.expect_whole(uri)
    assert [value for _, value in numbers(uri, sweep.run(uri))] == [value(1 + (e == 3), e) for e in range(1, 6)]


def test_the_run_of_a_running_attempt_has_no_epochs_that_it_will_repeat(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2, 3, 4], "interrupted")
    sweep.attempt([2])
    sweep.ship(uri)
    assert numbers(uri, sweep.run(uri)) == [(1, value(1, 1)), (2, value(2, 2))]


def test_the_reason_of_an_attempts_end_and_the_sweeps_cost_are_logged(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1], "failed", "out of memory", "oom")
    sweep.ledger.charge({("a", 1): 7200.0}, 3600.0)
    sweep.ship(uri)
    tags = sweep.run(uri).data.tags
    assert (tags["state"], tags["reason"], tags["failure"]) == ("failed", "out of memory", "oom")
    cost = sweep.parent(uri).data.metrics
    assert (cost["gpu_hours"], cost["cpu_hours"], cost["wall_hours"]) == (1.0, 4.0, 1.0)


def test_the_papers_parameters_are_logged_even_if_inactive(sweep: Recorded, uri: str) -> None:
    sweep.attempt()
    sweep.ship(uri)
    params = sweep.run(uri).data.params
    expected = {"lambda": "0.25", "k": "4", "r": "none", "p": "1", "aggregation": "standard", "lr": "0.0001"}
    assert {name: params[name] for name in expected} == expected
    assert not {"model.layer.lambda", "model.layer.k", "training.lr"} & params.keys()  # no duplicates
    assert params["training.batch_size"] == "256"


def test_many_epochs_are_sent_in_batches_within_mlflows_limit(sweep: Recorded, uri: str) -> None:
    sweep.attempt(range(1, 1101), "complete")
    sweep.ship(uri)
    assert len(history(uri, sweep.run(uri))) == 1100
    sweep.expect_whole(uri)


def test_the_leaderboard_is_valid_json_even_with_nan_and_infinity(sweep: Recorded, uri: str) -> None:
    sweep.attempt()
    sweep.ledger.add_epoch("a", 1, 1, {"val/accuracy": math.nan, "val/loss": math.inf})
    sweep.ledger.end_attempt("a", 1, "complete")
    sweep.ship(uri)
    client = MlflowClient(uri)
    text = Path(client.download_artifacts(sweep.parent(uri).info.run_id, "leaderboard.json")).read_text()
    (row,) = json.loads(text, parse_constant=pytest.fail)
    assert row["value"] is None


def test_mlflow_gets_the_report_and_a_sweep_without_a_report_is_still_synced(tmp_path: Path) -> None:
    uri = f"sqlite:///{tmp_path}/mlflow.db"
    with recorded(tmp_path) as sweep:
        sweep.attempt([1, 2], "complete")
        (sweep.folder.path / "report.html").mkdir()  # in the way
        sweep.ship(uri)
        client, parent = MlflowClient(uri), sweep.parent(uri).info.run_id
        assert {file.path for file in client.list_artifacts(parent)} == {"leaderboard.json", "sweep.yaml"}
        (sweep.folder.path / "report.html").rmdir()
        sweep.attempt([1], "complete", trial="b")
        sweep.ship(uri)
        assert "report.html" in {file.path for file in client.list_artifacts(parent)}
        page = Path(client.download_artifacts(parent, "report.html", str(tmp_path))).read_text(encoding="utf-8")
        assert "trials ended 2" in words(page)
        sweep.expect_whole(uri)


def test_the_path_of_a_sweep_may_have_any_characters(tmp_path: Path) -> None:
    odd = tmp_path / "why? 100% a#b é it's;x&y=z %3F [1] ?mode=memory"
    with recorded(odd) as sweep:
        uri = tracker_of(None, sweep.folder, sweep.ledger)
        sweep.attempt([1, 2], "complete")
        sweep.ship(uri)
        sweep.expect_whole(uri)
        client = MlflowClient(uri)
        text = Path(client.download_artifacts(sweep.parent(uri).info.run_id, "sweep.yaml")).read_text()
        assert text == sweep.folder.spec.read_text()
        assert sqlite_file(uri) == sweep.folder.path.parent / "mlflow.db"
    assert list(tmp_path.iterdir()) == [odd]


def excluded_of(sweep: Recorded, uri: str) -> dict[str, str | None]:
    """Return the tag `excluded` by the name of a trial's run."""
    return {run.info.run_name: run.data.tags.get("excluded") for run in sweep.runs(uri)}


def test_the_run_of_an_excluded_trial_says_why_until_it_is_included_again(sweep: Recorded, uri: str) -> None:
    for trial in "ab":
        sweep.attempt([1, 2], "complete", trial=trial)
    sweep.ledger.add_request("a", "exclude", "wrong images")
    sweep.ship(uri)
    assert excluded_of(sweep, uri) == {"001": "wrong images", "002": None}
    assert sweep.parent(uri).data.tags["best_run_key"] == "b"
    sweep.ledger.add_request("a", "exclude", "wrong labels")
    sweep.ship(uri)
    assert excluded_of(sweep, uri) == {"001": "wrong labels", "002": None}
    sweep.ledger.add_request("a", "include")
    for _ in range(2):
        sweep.ship(uri)
        assert excluded_of(sweep, uri) == {"001": None, "002": None}
    assert sweep.parent(uri).data.tags["best_run_key"] == "a"
    sweep.expect_whole(uri)


def test_a_run_that_is_superseded_is_no_longer_tagged_as_excluded(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "failed", "no memory", "oom")
    sweep.ledger.add_request("a", "exclude", "wrong images")
    sweep.ship(uri)
    sweep.ledger.add_request("a", "include")
    sweep.ledger.reopen(["a"])
    sweep.attempt([1, 2, 3, 4, 5], "complete")
    sweep.ledger.add_request("a", "exclude", "wrong again")
    sweep.ship(uri)
    assert excluded_of(sweep, uri) == {"001": None, "001 (attempt 2)": "wrong again"}


def test_the_view_of_complete_trials_leaves_excluded_ones_out(sweep: Recorded, uri: str) -> None:
    for trial in "ab":
        sweep.attempt([1, 2], "complete", trial=trial)
    sweep.ledger.add_request("a", "exclude", "wrong images")
    sweep.ship(uri)
    client = MlflowClient(uri)
    experiment = client.get_experiment_by_name(sweep.experiment)
    state = json.loads(json.loads(experiment.tags[f"{VIEW_TAG}{COMPLETE}"])["state"])
    runs = client.search_runs([experiment.experiment_id], state["searchFilter"])
    assert [run.data.tags["run_key"] for run in runs] == ["b"]
