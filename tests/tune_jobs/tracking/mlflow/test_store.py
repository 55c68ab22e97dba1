import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from mlflow import MlflowClient

from tune_jobs.tracking.mlflow.store import prepare_store

MAKE = "import sys; from tune_jobs.tracking.mlflow.store import prepare_store; prepare_store(sys.argv[1])"


def test_a_store_whose_creation_was_killed_is_created_again(tmp_path: Path) -> None:
    place = tmp_path / "my sweep"
    uri = f"sqlite:///{place / 'mlflow.db'}"
    maker = subprocess.Popen([sys.executable, "-c", MAKE, uri], stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(place.glob(".mlflow.db.*")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(maker.pid, signal.SIGKILL)
    maker.wait()
    assert list(place.glob(".mlflow.db.*.partial"))
    assert not (place / "mlflow.db").exists()
    prepare_store(uri)
    assert os.listdir(place) == ["mlflow.db"]  # noqa: PTH208 - names
    client = MlflowClient(uri)
    run = client.create_run(client.create_experiment("e")).info.run_id
    client.log_metric(run, "val/loss", 0.5)
    before = (place / "mlflow.db").stat().st_ino
    prepare_store(uri)  # an existing store is left alone
    assert (place / "mlflow.db").stat().st_ino == before
    assert [metric.value for metric in client.get_metric_history(run, "val/loss")] == [0.5]


def test_a_server_creates_its_own_store(tmp_path: Path) -> None:
    prepare_store("http://127.0.0.1:9")
    assert not list(tmp_path.iterdir())
