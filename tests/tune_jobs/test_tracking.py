import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from search_spaces import parse_sweep
from tests.tune_jobs.servers import free_port, mlflow_server
from tune_jobs.ledger import Ledger
from tune_jobs.search import Job, Search
from tune_jobs.storage import SweepFolder
from tune_jobs.tracking import Shipper, tracker_of

SPEC = """
name: tracked
space:
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5, 0.75]}, k: 4}}
  training: {epochs: 5}
"""


@pytest.fixture
def folder(tmp_path: Path) -> SweepFolder:
    place = SweepFolder(tmp_path / "my sweeps" / "tracked")
    place.path.mkdir(parents=True)
    place.spec.write_text(SPEC)
    return place


@pytest.fixture
def ledger(folder: SweepFolder) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(folder.ledger, create=True)) as opened:
        yield opened


def start(ledger: Ledger) -> Job:
    job = Search(parse_sweep(SPEC), ledger).next()
    assert job is not None
    return job


def epochs(ledger: Ledger, job: Job, first: int, last: int) -> None:
    for epoch in range(first, last + 1):
        ledger.add_epoch(job.run_key, job.attempt, epoch, {"val/accuracy": epoch / 10, "train/loss": 1 / epoch})


def ship(folder: SweepFolder, uri: str) -> None:
    shipper = Shipper(folder, uri, "my experiment", {"git_dirty": "false"}, every_s=0.05)
    shipper.start()
    assert shipper.close(60) is None


def children(client: MlflowClient) -> list[Any]:
    experiment = client.get_experiment_by_name("my experiment")
    runs = client.search_runs([experiment.experiment_id], order_by=["attributes.start_time ASC"])
    return [run for run in runs if "mlflow.parentRunId" in run.data.tags]


def history(client: MlflowClient, run: Any, name: str = "val/accuracy") -> list[tuple[int, float, int]]:
    found = client.get_metric_history(run.info.run_id, name)
    return sorted((metric.step, metric.value, metric.timestamp) for metric in found)


def test_an_outage_loses_nothing_and_shipping_twice_makes_nothing_twice(folder: SweepFolder, ledger: Ledger) -> None:
    port = free_port()
    uri = f"http://127.0.0.1:{port}"
    shipper = Shipper(folder, uri, "my experiment", {}, every_s=0.05)
    shipper.start()
    job = start(ledger)
    epochs(ledger, job, 1, 3)
    deadline = time.monotonic() + 60
    while shipper.error is None and time.monotonic() < deadline:
        time.sleep(0.05)
    assert shipper.error is not None
    assert shipper.error in (shipper.close(60), shipper.error)
    with mlflow_server(folder.path.parent, port):
        client = MlflowClient(uri)
        for _ in range(2):
            ship(folder, uri)
            (run,) = children(client)
            assert [(step, value) for step, value, _ in history(client, run)] == [(1, 0.1), (2, 0.2), (3, 0.3)]
        epochs(ledger, job, 4, 5)
        ledger.end_attempt(job.run_key, job.attempt, "complete")
        ship(folder, uri)
        (run,) = children(client)
    with mlflow_server(folder.path.parent, port):  # what it was told is still there after a restart
        recorded = [(e.epoch, e.metrics["val/accuracy"], int(e.at * 1000)) for e in ledger.epochs()]
        assert history(client, run) == recorded
        assert run.info.status == "FINISHED"


def test_a_lost_note_of_what_was_shipped_makes_no_second_run(folder: SweepFolder, ledger: Ledger) -> None:
    job = start(ledger)
    epochs(ledger, job, 1, 2)
    uri = tracker_of(None, folder)
    ship(folder, uri)
    ledger.forget_tracked()  # as if the driver had died between MLflow's answer and the note
    ship(folder, uri)
    (run,) = children(MlflowClient(uri))
    assert {step for step, *_ in history(MlflowClient(uri), run)} == {1, 2}


def test_an_attempt_that_goes_on_from_a_checkpoint_goes_on_in_the_same_run(folder: SweepFolder, ledger: Ledger) -> None:
    uri = tracker_of(None, folder)
    job = start(ledger)
    epochs(ledger, job, 1, 2)
    ledger.end_attempt(job.run_key, job.attempt, "interrupted", "the driver ended")
    ship(folder, uri)
    again = start(ledger)
    assert (again.run_key, again.attempt) == (job.run_key, 2)
    ship(folder, uri)
    epochs(ledger, again, 3, 5)
    ledger.end_attempt(again.run_key, again.attempt, "complete")
    ship(folder, uri)
    (run,) = children(MlflowClient(uri))
    assert [step for step, *_ in history(MlflowClient(uri), run)] == [1, 2, 3, 4, 5]
    assert run.info.status == "FINISHED"


def test_an_attempt_that_starts_over_opens_a_new_run_and_the_old_one_says_so(
    folder: SweepFolder, ledger: Ledger
) -> None:
    uri = tracker_of(None, folder)
    job = start(ledger)
    epochs(ledger, job, 1, 3)
    ledger.end_attempt(job.run_key, job.attempt, "interrupted", "the driver ended")
    again = start(ledger)
    epochs(ledger, again, 1, 5)
    ledger.end_attempt(again.run_key, again.attempt, "complete")
    ship(folder, uri)
    first, second = children(MlflowClient(uri))
    assert (first.info.status, first.data.tags["superseded"]) == ("KILLED", "true")
    assert [step for step, *_ in history(MlflowClient(uri), second)] == [1, 2, 3, 4, 5]
    assert "superseded" not in second.data.tags


def test_the_papers_parameters_are_logged_also_where_inactive(folder: SweepFolder, ledger: Ledger) -> None:
    start(ledger)
    uri = tracker_of(None, folder)
    ship(folder, uri)
    (run,) = children(MlflowClient(uri))
    expected = {"lambda": "0.25", "k": "4", "r": "none", "p": "1", "aggregation": "standard", "lr": "0.0001"}
    assert {name: run.data.params[name] for name in expected} == expected
    assert run.data.params["model.layer.lambda"] == "0.25"
    assert run.data.params["training.batch_size"] == "256"


def test_another_tracker_gets_everything_again(folder: SweepFolder, ledger: Ledger, tmp_path: Path) -> None:
    epochs(ledger, start(ledger), 1, 2)
    for uri in (tracker_of(None, folder), f"sqlite:///{tmp_path / 'other.db'}"):
        ship(folder, uri)
        (run,) = children(MlflowClient(uri))
        assert [step for step, *_ in history(MlflowClient(uri), run)] == [1, 2]
    assert (tmp_path / "artifacts").is_dir()  # beside the store, wherever the command was started


def test_many_epochs_go_in_batches_that_mlflow_takes(folder: SweepFolder, ledger: Ledger) -> None:
    epochs(ledger, start(ledger), 1, 1100)
    uri = tracker_of(None, folder)
    ship(folder, uri)
    (run,) = children(MlflowClient(uri))
    assert len(history(MlflowClient(uri), run)) == 1100


def test_the_tracker_is_the_files_then_the_environments_then_a_store_in_the_folder(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert tracker_of(None, folder) == f"sqlite:///{folder.path}/mlflow.db"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1234")
    assert tracker_of(None, folder) == "http://127.0.0.1:1234"
    assert tracker_of("http://127.0.0.1:99", folder) == "http://127.0.0.1:99"
    monkeypatch.chdir(tmp_path)
    assert tracker_of("sqlite:///mine.db", folder) == f"sqlite:///{tmp_path}/mine.db"
