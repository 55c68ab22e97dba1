"""Syncing to a real MLflow server that is slow, wrong, silent or down."""

import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator

import pytest
from mlflow import MlflowClient
from mlflow.entities import LoggedModelStatus

from tests.tune_jobs.servers import FaultyProxy, MlflowServer, faulty_proxy, free_port, mlflow_server
from tests.tune_jobs.shipping import Recorded
from tests.tune_jobs.tracking.mlflow.test_champion import confirmed
from tune_jobs.driver.sync import sync
from tune_jobs.errors import TrackerError


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server"), free_port()) as started:
        yield started


@pytest.fixture
def proxy(server: MlflowServer) -> Iterator[FaultyProxy]:
    with faulty_proxy(server.port) as made:
        yield made


def sync_all(sweep: Recorded, uri: str, patience_s: float = 30) -> None:
    sync(sweep.folder, uri, sweep.experiment, {}, patience_s=patience_s)


def wait_for(condition: Callable[[], object], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_that_is_killed_and_started_again_has_everything(sweep: Recorded, server: MlflowServer) -> None:
    tracker = sweep.tracker(server.uri)
    tracker.start()
    sweep.attempt([1, 2])
    wait_for(lambda: ("a", 1) in sweep.ledger.tracked())
    server.kill()
    sweep.epochs(1, [3])
    wait_for(lambda: tracker.error)
    server.start()
    sweep.ledger.end_attempt("a", 1, "complete")
    assert tracker.close(30) is None
    sweep.expect_whole(server.uri)


@pytest.mark.parametrize("only", ["runs/create", "experiments/create", "runs/log-batch", ""])
def test_lost_answers_make_no_duplicates(sweep: Recorded, proxy: FaultyProxy, only: str) -> None:
    proxy.drop_answers(only)
    sweep.attempt([1, 2], "interrupted")
    sweep.attempt([2, 3], "diverged", "the loss is nan", "diverged")
    sweep.ledger.add_epoch("a", 2, 4, {"val/accuracy": 0.5, "train/loss": float("nan")})
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    wait_for(lambda: tracker.error and (not only or any(only in call for call in proxy.calls)))
    proxy.ok()
    assert tracker.close(30) is None
    assert len(sweep.runs(proxy.uri)) == 2
    sweep.expect_whole(proxy.uri)
    assert sweep.parent(proxy.uri).info.status == "FINISHED"


@pytest.mark.parametrize("status", [500, 403])
def test_a_server_that_answers_with_errors_for_a_while_has_everything_later(
    sweep: Recorded, proxy: FaultyProxy, status: int
) -> None:
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    sweep.attempt([1, 2])
    wait_for(lambda: ("a", 1) in sweep.ledger.tracked())
    proxy.answer(status)
    sweep.epochs(1, [3])
    wait_for(lambda: tracker.error)
    assert str(status) in (tracker.error or "")
    sweep.ledger.end_attempt("a", 1, "complete")
    proxy.ok()
    assert tracker.close(30) is None
    sweep.expect_whole(proxy.uri)


def test_a_server_that_takes_five_seconds_per_answer_is_tolerated(sweep: Recorded, proxy: FaultyProxy) -> None:
    proxy.slow(5.5, only="get-by-name")
    sweep.attempt([1], "complete")
    sync_all(sweep, proxy.uri)
    proxy.ok()
    sweep.expect_whole(proxy.uri)


def test_closing_continues_while_calls_succeed_and_reports_progress(
    sweep: Recorded, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tune_jobs.tracking.base.SAY_EVERY_S", 0.0)
    for trial in "abc":
        sweep.attempt([1, 2], "complete", trial=trial)
    proxy.slow(0.3)
    said: list[str] = []
    begun = time.monotonic()
    assert sweep.tracker(proxy.uri).close(2, said.append) is None
    assert time.monotonic() - begun > 3
    assert list(dict.fromkeys(said)) == [f"{left} trials left ..." for left in (3, 2, 1)]
    proxy.ok()
    sweep.expect_whole(proxy.uri)


def test_a_silent_server_is_given_up_in_time_and_loses_nothing(sweep: Recorded, proxy: FaultyProxy) -> None:
    proxy.black_hole()
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    sweep.attempt([1, 2, 3], "complete")
    wait_for(lambda: proxy.calls)
    begun = time.monotonic()
    assert tracker.close(1) == f"MLflow at {proxy.uri} is missing results of tracked: no answer within 1 s"
    assert time.monotonic() - begun < 2
    proxy.ok()
    sync_all(sweep, proxy.uri)
    sweep.expect_whole(proxy.uri)


def test_a_tracker_that_was_given_up_sends_nothing_more(sweep: Recorded, proxy: FaultyProxy) -> None:
    sweep.attempt([1], "complete")
    proxy.slow(0.5, only="runs/create")
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    wait_for(lambda: any("runs/create" in call for call in proxy.calls))
    begun = time.monotonic()
    assert tracker.close(0)
    assert time.monotonic() - begun < 0.3
    time.sleep(1)
    assert Counter(proxy.calls)["POST /api/2.0/mlflow/runs/create"] == 1
    proxy.ok()
    sync_all(sweep, proxy.uri)
    sweep.expect_whole(proxy.uri)


def test_a_tracker_that_was_silent_long_before_gets_one_more_try(sweep: Recorded) -> None:
    tracker = sweep.tracker(f"http://127.0.0.1:{free_port()}")
    tracker.start()
    wait_for(lambda: tracker.error)
    time.sleep(1)
    begun = time.monotonic()
    assert "Connection refused" in (tracker.close(1) or "")
    assert time.monotonic() - begun < 1


def test_a_call_that_already_hung_is_not_the_last_try(
    sweep: Recorded, proxy: FaultyProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_TIMEOUT", "2")
    proxy.black_hole()
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    wait_for(lambda: len(proxy.calls) == 2)
    proxy.ok()
    assert tracker.close(3) is None


def test_a_sync_takes_four_calls_per_new_trial_and_none_per_synced_one(sweep: Recorded, proxy: FaultyProxy) -> None:
    for trial in "abcde":
        sweep.attempt([1, 2, 3, 4, 5], "complete", trial=trial)
    sync_all(sweep, proxy.uri)
    calls = Counter(call.rpartition("/mlflow/")[2] for call in proxy.calls if "/mlflow/" in call)
    assert (calls["runs/create"], calls["runs/log-batch"], calls["runs/update"]) == (6, 6, 6)
    assert len(proxy.calls) <= 3 * 5 + 12
    proxy.calls.clear()
    sync_all(sweep, proxy.uri)
    assert len(proxy.calls) == 2  # the experiment, and its runs
    sweep.attempt([1], "complete", trial="f")
    proxy.calls.clear()
    sync_all(sweep, proxy.uri)
    assert len(proxy.calls) <= 3 + 9
    sweep.expect_whole(proxy.uri)


def test_no_request_is_sent_while_nothing_happens(sweep: Recorded, proxy: FaultyProxy) -> None:
    sweep.attempt([1, 2])
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    wait_for(lambda: any("manifest" in call or "sweep.yaml" in call for call in proxy.calls))
    time.sleep(0.5)
    proxy.calls.clear()
    time.sleep(0.5)
    assert proxy.calls == []
    sweep.ledger.end_attempt("a", 1, "interrupted")
    assert tracker.close(30) is None


def test_a_refused_run_does_not_delay_others(sweep: Recorded, proxy: FaultyProxy) -> None:
    sweep.attempt([1], trial="a")
    sync_all(sweep, proxy.uri)
    client, run = MlflowClient(proxy.uri), sweep.run(proxy.uri)
    sweep.ledger.forget_tracked()
    client.delete_run(run.info.run_id)
    clash = client.create_run(run.info.experiment_id, tags={**run.data.tags, "mlflow.runName": "clash"})
    client.log_param(clash.info.run_id, "k", "another")
    sweep.ledger.end_attempt("a", 1, "complete")
    sweep.attempt([1, 2], "complete", trial="b")
    with pytest.raises(TrackerError, match=r"MLflow refuses trial 1: .*Changing param values is not allowed"):
        sync_all(sweep, proxy.uri)
    assert {r.data.tags["run_key"] for r in sweep.runs(proxy.uri) if r.info.status == "FINISHED"} == {"b"}
    assert sweep.parent(proxy.uri).info.status == "FINISHED"


def test_a_run_deleted_while_the_sweep_runs_is_left_alone(sweep: Recorded, proxy: FaultyProxy) -> None:
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    sweep.attempt([1])
    wait_for(lambda: ("a", 1) in sweep.ledger.tracked())
    MlflowClient(proxy.uri).delete_run(sweep.run(proxy.uri).info.run_id)
    sweep.epochs(1, [2])
    sweep.attempt([1, 2], "complete", trial="b")
    wait_for(lambda: ("b", 1) in sweep.ledger.tracked())
    sweep.ledger.end_attempt("a", 1, "complete")
    assert tracker.close(30) is None
    assert [run.info.lifecycle_stage for run in sweep.runs(proxy.uri)] == ["deleted", "active"]


def test_a_deleted_parent_is_reported_and_its_children_are_synced(sweep: Recorded, proxy: FaultyProxy) -> None:
    sweep.attempt([1], "complete")
    sync_all(sweep, proxy.uri)
    client, parent = MlflowClient(proxy.uri), sweep.parent(proxy.uri).info.run_id
    client.delete_run(parent)
    sweep.attempt([1, 2], "complete", trial="b")
    with pytest.raises(TrackerError, match=f"run {parent} is deleted in MLflow; restore it there"):
        sync_all(sweep, proxy.uri)
    client.restore_run(parent)
    sync_all(sweep, proxy.uri)
    sweep.expect_whole(proxy.uri)


def test_a_run_for_which_the_server_fails_comes_last(sweep: Recorded, proxy: FaultyProxy) -> None:
    sweep.attempt([1, 2])
    sync_all(sweep, proxy.uri)
    proxy.answer(500, only="runs/update")
    sweep.ledger.end_attempt("a", 1, "complete")
    sweep.attempt([1], trial="b")
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    wait_for(lambda: ("b", 1) in sweep.ledger.tracked())
    sweep.ledger.end_attempt("b", 1, "complete")
    proxy.ok()
    assert tracker.close(30) is None
    sweep.expect_whole(proxy.uri)


def test_the_ledger_is_free_while_the_tracker_does_not_answer(sweep: Recorded, proxy: FaultyProxy) -> None:
    sweep.attempt([1])
    proxy.black_hole(only="runs/log-batch")
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    wait_for(lambda: any("runs/log-batch" in call for call in proxy.calls))
    begun = time.monotonic()
    sweep.epochs(1, range(2, 22))
    assert time.monotonic() - begun < 1
    tracker.close(0)


def test_no_error_shows_a_token_or_a_password(sweep: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.attempt([1], "complete")
    assert "s3cr3t" not in (sweep.tracker("http://me:s3cr3t@127.0.0.1:x").close(0.1) or "")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cr3t\nline")
    error = sweep.tracker("http://127.0.0.1:1").close(5) or ""
    assert error.endswith(": MLFLOW_TRACKING_TOKEN contains whitespace or non-ASCII characters; set it again.")


@pytest.mark.parametrize("only", ["logged-models", "registered-models/create", "model-versions/create"])
def test_a_champion_is_registered_once_despite_lost_answers(
    sweep: Recorded, server: MlflowServer, proxy: FaultyProxy, only: str
) -> None:
    confirmed(sweep)
    proxy.drop_answers(only)
    tracker = sweep.tracker(proxy.uri)
    tracker.start()
    closing = threading.Thread(target=tracker.close, args=(60,))
    closing.start()
    wait_for(lambda: tracker.error and any(only in call for call in proxy.calls))
    proxy.ok()
    closing.join()
    assert tracker.error is None
    client = MlflowClient(server.uri)
    (model,) = client.search_registered_models(f"tags.sweep_id = '{sweep.ledger.meta.sweep_id}'")
    (version,) = client.search_model_versions(f"name = '{model.name}'")
    assert client.get_model_version_by_alias(model.name, "champion").version == version.version
    experiment = client.get_experiment_by_name(sweep.experiment)
    there = client.search_logged_models([experiment.experiment_id])
    (ready,) = [each for each in there if each.status == LoggedModelStatus.READY]
    assert ready.artifact_location == version.source


def test_a_server_without_a_model_registry_gets_everything_else(
    sweep: Recorded, server: MlflowServer, proxy: FaultyProxy
) -> None:
    confirmed(sweep)
    proxy.answer(404, "registered-models")
    said: list[str] = []
    place = sync(sweep.folder, proxy.uri, sweep.experiment, {}, said.append)
    assert (place.error, place.model) == (None, None)
    assert "MLflow refuses the champion's model" in said[-1]
    sweep.expect_whole(server.uri)
