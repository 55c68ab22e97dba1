"""What becomes of a sweep in MLflow; in an SQLite store, which takes everything at once."""

import contextlib
import shutil
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tune_jobs.shipping import Recorded, history, value
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Epoch
from tune_jobs.tracking.mlflow.runs import opener_of
from tune_jobs.tracking.mlflow.shipper import tracker_of


def numbers(uri: str, run: object) -> list[tuple[int, float]]:
    return [(epoch, value) for epoch, value, _ in history(uri, run)]


def test_an_attempt_that_goes_on_from_a_checkpoint_goes_on_in_the_same_run(sweep: Recorded, uri: str) -> None:
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


def test_a_trial_that_goes_on_elsewhere_says_where_while_it_runs(sweep: Recorded, uri: str) -> None:
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
def test_an_attempt_that_does_epochs_again_opens_a_new_run_which_has_the_earlier_ones_too(
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
    assert second.info.run_name.endswith("-a (attempt 2)")
    sweep.expect_whole(uri)


def test_epochs_that_an_attempt_did_not_come_to_again_still_count(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2, 3, 4, 5], "interrupted")
    sweep.attempt([3], "failed", "RuntimeError: boom", "user_error")
    sweep.ship(uri)
    sweep.expect_whole(uri)
    assert [value for _, value in numbers(uri, sweep.run(uri))] == [value(1 + (e == 3), e) for e in range(1, 6)]


def test_while_an_attempt_runs_its_run_has_nothing_that_it_will_do_again(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2, 3, 4], "interrupted")
    sweep.attempt([2])
    sweep.ship(uri)
    assert numbers(uri, sweep.run(uri)) == [(1, value(1, 1)), (2, value(2, 2))]


def test_the_run_of_an_epoch_depends_on_epochs_alone() -> None:
    did = {1: [1, 2, 3], 2: [], 3: [3, 4], 4: [5], 5: [1]}
    epochs = [Epoch(0, "a", attempt, epoch, 0.0, {}) for attempt, own in did.items() for epoch in own]
    assert [opener_of(attempt, epochs) for attempt in did] == [1, 1, 3, 3, 5]


def test_why_an_attempt_ended_is_tagged_and_what_the_sweep_cost_is_counted(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1], "failed", "out of memory", "oom")
    sweep.ledger.charge({("a", 1): 7200.0}, 3600.0)
    sweep.ship(uri)
    tags = sweep.run(uri).data.tags
    assert (tags["state"], tags["reason"], tags["failure"]) == ("failed", "out of memory", "oom")
    cost = sweep.parent(uri).data.metrics
    assert (cost["gpu_hours"], cost["cpu_hours"], cost["wall_hours"]) == (1.0, 4.0, 1.0)


def test_the_papers_parameters_are_logged_also_where_inactive(sweep: Recorded, uri: str) -> None:
    sweep.attempt()
    sweep.ship(uri)
    params = sweep.run(uri).data.params
    expected = {"lambda": "0.25", "k": "4", "r": "none", "p": "1", "aggregation": "standard", "lr": "0.0001"}
    assert {name: params[name] for name in expected} == expected
    assert params["model.layer.lambda"] == "0.25"
    assert params["training.batch_size"] == "256"


def test_lost_notes_of_what_was_shipped_make_no_second_runs(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2, 3], "interrupted")
    sweep.attempt([3, 4], "interrupted")
    sweep.attempt([5], "complete")
    sweep.ship(uri)
    sweep.ledger.forget_tracked()  # as if the driver had died between MLflow's answers and the notes
    sweep.ship(uri)
    assert len(sweep.runs(uri)) == 2
    sweep.expect_whole(uri)
    sweep.parent(uri)


def test_of_runs_that_were_made_twice_one_counts(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.ship(uri)
    run = sweep.run(uri)
    tags = {name: text for name, text in run.data.tags.items() if name != "mlflow.runName"}
    MlflowClient(uri).create_run(run.info.experiment_id, tags=tags)  # a request that came through late
    sweep.ship(uri)
    assert sweep.run(uri).info.run_id == run.info.run_id
    sweep.expect_whole(uri)


def test_a_store_that_knows_nothing_of_the_sweep_gets_everything(sweep: Recorded, uri: str, tmp_path: Path) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.ship(uri)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    sweep.ledger.meta.tracker = other  # the same address, and an empty store behind it
    sweep.ship(other)
    sweep.expect_whole(other)
    assert (tmp_path / "artifacts").is_dir()  # beside the store, wherever the command was started
    sweep.ship(uri)
    sweep.expect_whole(uri)
    assert len(sweep.runs(uri)) == 1


def test_many_epochs_go_in_batches_that_mlflow_takes(sweep: Recorded, uri: str) -> None:
    sweep.attempt(range(1, 1101), "complete")
    sweep.ship(uri)
    assert len(history(uri, sweep.run(uri))) == 1100
    sweep.expect_whole(uri)


def test_a_run_that_was_deleted_stays_deleted_and_gets_what_it_lacks_when_it_is_restored(
    sweep: Recorded, uri: str
) -> None:
    sweep.attempt([1, 2])
    sweep.attempt([1], trial="b")
    shipper = sweep.shipper(uri)
    shipper.start()
    assert shipper.close(60) is None
    client, (run, _) = MlflowClient(uri), sweep.runs(uri)
    client.delete_run(run.info.run_id)
    sweep.epochs(1, [3, 4])
    sweep.epochs(1, [2], trial="b")
    sweep.ledger.end_attempt("a", 1, "complete")
    sweep.ledger.end_attempt("b", 1, "complete")
    sweep.ship(uri)
    assert len(sweep.runs(uri)) == 2
    client.restore_run(run.info.run_id)
    sweep.ship(uri)
    sweep.expect_whole(uri)


def test_the_tracker_is_the_files_then_the_environments_then_the_earlier_one_then_a_store_in_the_folder(
    sweep: Recorded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, ledger = sweep.folder, sweep.ledger
    assert tracker_of(None, folder, ledger) == f"sqlite:///{folder.path}/mlflow.db"
    ledger.meta.tracker = "http://127.0.0.1:4321"
    assert tracker_of(None, folder, ledger) == "http://127.0.0.1:4321"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1234")
    assert tracker_of(None, folder, ledger) == "http://127.0.0.1:1234"
    assert tracker_of("http://127.0.0.1:99", folder, ledger) == "http://127.0.0.1:99"
    monkeypatch.chdir(tmp_path)
    assert tracker_of("sqlite:///mine.db", folder, ledger) == f"sqlite:///{tmp_path}/mine.db"


def test_a_sweep_stays_in_its_store_when_nobody_names_it_again(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1], "interrupted")
    sweep.ship(uri)
    sweep.attempt([2], "complete")
    sweep.ship(tracker_of(None, sweep.folder, sweep.ledger))
    sweep.expect_whole(uri)
    assert not Path(sweep.folder.default_tracker.removeprefix("sqlite:///")).exists()


@pytest.mark.parametrize("moved", [True, False])
def test_a_sweep_that_was_moved_or_copied_has_a_store_of_its_own(sweep: Recorded, *, moved: bool) -> None:
    sweep.attempt([1], "complete")
    sweep.ship(sweep.folder.default_tracker)
    sweep.ledger.close()
    there = SweepFolder(sweep.folder.path.with_name("there"))
    (shutil.move if moved else shutil.copytree)(sweep.folder.path, there.path)
    with contextlib.closing(Ledger(there.ledger)) as ledger:
        assert tracker_of(None, there, ledger) == there.default_tracker


def test_a_token_or_a_password_is_in_no_reason(sweep: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep.attempt([1], "complete")
    assert "s3cr3t" not in (sweep.shipper("http://me:s3cr3t@127.0.0.1:x").close(0.1) or "")
    monkeypatch.setenv("MLFLOW_TRACKING_TOKEN", "s3cr3t\nline")
    reason = sweep.shipper("http://127.0.0.1:1").close(5)
    assert reason == "MLFLOW_TRACKING_TOKEN holds a blank, a line break or a letter beyond ASCII; set it anew."
