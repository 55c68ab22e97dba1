"""Finding a sweep's runs in MLflow, after outages and after changes by users."""

from pathlib import Path

from mlflow import MlflowClient

from tests.tune_jobs.shipping import Recorded


def test_losing_the_records_of_a_sync_makes_no_second_runs(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2, 3], "interrupted")
    sweep.attempt([3, 4], "interrupted")
    sweep.attempt([5], "complete")
    sweep.ship(uri)
    sweep.ledger.forget_tracked()  # as if the driver had died between MLflow's answers and their records
    sweep.ship(uri)
    assert len(sweep.runs(uri)) == 2
    sweep.expect_whole(uri)
    sweep.parent(uri)


def test_only_one_of_duplicate_runs_counts(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.ship(uri)
    run = sweep.run(uri)
    tags = {name: text for name, text in run.data.tags.items() if name != "mlflow.runName"}
    MlflowClient(uri).create_run(run.info.experiment_id, tags=tags)  # a request that arrived late
    sweep.ship(uri)
    assert sweep.run(uri).info.run_id == run.info.run_id
    sweep.expect_whole(uri)


def test_a_store_without_runs_of_the_sweep_gets_everything(sweep: Recorded, uri: str, tmp_path: Path) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.ship(uri)
    other = f"sqlite:///{tmp_path / 'other.db'}"
    sweep.ledger.meta.tracker = other  # the same address with an empty store
    sweep.ship(other)
    sweep.expect_whole(other)
    assert (tmp_path / "artifacts").is_dir()  # next to the store, in whatever folder the command was started
    sweep.ship(uri)
    sweep.expect_whole(uri)
    assert len(sweep.runs(uri)) == 1


def test_a_deleted_run_stays_deleted_and_catches_up_when_restored(sweep: Recorded, uri: str) -> None:
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
