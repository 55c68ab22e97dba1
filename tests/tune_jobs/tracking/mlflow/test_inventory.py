"""What is found of a sweep in MLflow, after outages and after people have been there."""

from pathlib import Path

from mlflow import MlflowClient

from tests.tune_jobs.shipping import Recorded


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


def test_a_run_that_was_deleted_stays_deleted_and_gets_what_it_lacks_when_it_is_restored(
    sweep: Recorded, uri: str
) -> None:
    sweep.attempt([1, 2])
    sweep.attempt([1], trial="b")
    tracker = sweep.tracker(uri)
    tracker.start()
    assert tracker.close(60) is None
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
