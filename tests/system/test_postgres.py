"""Sweeps synced to a real MLflow server on a real PostgreSQL, with artifacts through the server."""

import contextlib
import json
import math
import time
from collections.abc import Callable
from pathlib import Path

from mlflow import MlflowClient

from tests.faults.sweeps import EPOCHS, GRID
from tests.system.ledgers import Shipped, begin, end, recorded, shipped
from tests.system.postgres import Postgres
from tests.tune_jobs.program import convnn
from tests.tune_jobs.servers import MlflowServer
from tests.tune_jobs.shipping import recorded as written
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger

WAIT_S = 120
OUTAGE_S = 3.0


def wait_for(condition: Callable[[], object]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_sweep_in_mlflow_equals_its_ledger(sweep: Shipped) -> None:
    assert sweep.numbers() == recorded(sweep.folder)
    assert [len(metrics["val/accuracy"]) for metrics in sweep.numbers().values()] == [5] * 10


def test_files_of_a_sweep_are_read_back_through_the_server(sweep: Shipped) -> None:
    run = sweep.parent
    assert run.info.artifact_uri.startswith("mlflow-artifacts:/")

    def read(name: str) -> str:
        return Path(MlflowClient(sweep.uri).download_artifacts(run.info.run_id, name)).read_text()

    for name in ("sweep.yaml", "manifest.json"):
        assert read(name) == (sweep.folder.path / name).read_text()
    assert [row["state"] for row in json.loads(read("leaderboard.json"))] == ["complete"] * 10


def test_after_kills_of_database_and_mlflow_sync_sends_every_number_once(
    tmp_path: Path, tracker: MlflowServer, database_server: Postgres
) -> None:
    sweep = GRID.but(name="killed")
    driver = begin(tmp_path, sweep, tracker.uri)
    hit = Shipped(tmp_path, sweep.name, tracker.uri)
    wait_for(lambda: hit.folder.ledger.exists() and len(tracked(hit)) > 1)
    database_server.kill()
    time.sleep(OUTAGE_S)  # requests are made meanwhile
    tracker.kill()
    assert end(driver).splitlines()[-1], "the output does not say what the tracker lacks"
    database_server.start()
    tracker.start()
    convnn("sync", sweep.name, storage=tmp_path, MLFLOW_TRACKING_URI=tracker.uri)
    expected = recorded(hit.folder)
    assert hit.numbers() == expected
    assert sum(len(metrics["val/accuracy"]) for metrics in expected.values()) == 4 * EPOCHS


def tracked(sweep: Shipped) -> dict[tuple[str, int], tuple[str, int, str]]:
    with contextlib.closing(Ledger(sweep.folder.ledger)) as ledger:
        return ledger.tracked()


def test_two_concurrent_sweeps_share_one_experiment_and_both_are_complete(
    tmp_path: Path, tracker: MlflowServer
) -> None:
    sweeps = [
        GRID.but(name=name, tracking={"experiment": "shared"}, space__training__epochs=6, resources__max_concurrent=1)
        for name in ("one", "two")
    ]
    storages = [tmp_path / sweep.name for sweep in sweeps]
    for storage in storages:
        storage.mkdir()
    drivers = [begin(storage, sweep, tracker.uri) for storage, sweep in zip(storages, sweeps, strict=True)]
    for driver in drivers:
        end(driver)
    for storage, sweep in zip(storages, sweeps, strict=True):
        assert shipped(tracker.uri, "shared", sweep.name) == recorded(SweepFolder(storage / sweep.name))


def test_nan_and_repeated_epochs_are_synced_too(tmp_path: Path, tracker: MlflowServer) -> None:
    with written(tmp_path) as sweep:
        sweep.attempt([1, 2, 3], "interrupted", "the driver ended")
        sweep.attempt([2, 3, 4], "diverged", "the loss is nan", "diverged")
        sweep.ledger.add_epoch("a", 2, 5, {"train/loss": float("nan"), "val/accuracy": 0.1})
        sweep.ship(tracker.uri)
        sweep.expect_whole(tracker.uri)
        assert math.isnan(sweep.run(tracker.uri).data.metrics["train/loss"])
