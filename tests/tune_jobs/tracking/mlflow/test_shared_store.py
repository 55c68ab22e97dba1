"""One store for all sweeps of a storage folder, of this MLflow version, and never changed while others use it."""

import contextlib
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.tune_jobs.program import convnn
from tests.tune_jobs.shipping import Recorded, recorded
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.sync import sync_recorded
from tune_jobs.errors import TrackerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.address import default_store, sqlite_uri
from tune_jobs.tracking.mlflow import reading
from tune_jobs.tracking.mlflow.store import use_store

EARLIER = "0a8213491aaa"
FILE = "name: tracked\nspace: {model: {name: vgg11, layer: {kind: conv2d}}}\n"


@pytest.fixture
def store(sweep: Recorded) -> Path:
    sweep.folder.spec.write_text(FILE)
    sweep.attempt([1, 2], "complete")
    new_store(default_store(sweep.folder))
    return default_store(sweep.folder)


def make_earlier(store: Path) -> None:
    """Mark the store as one of an earlier MLflow."""
    with contextlib.closing(sqlite3.connect(store)) as db, db:
        db.execute("UPDATE alembic_version SET version_num=?", [EARLIER])


def damage(store: Path) -> None:
    store.write_bytes(b"no database" * 1000)


def empty(store: Path) -> None:
    store.write_bytes(b"")


def runs(store: Path, experiment: str = "tracked") -> list[str]:
    """Return the names of trials' runs in an experiment that is not deleted."""
    client = MlflowClient(sqlite_uri(store))
    found = client.get_experiment_by_name(experiment)
    if found is None or found.lifecycle_stage == "deleted":
        return []
    return sorted(
        run.data.tags["run_key"]
        for run in client.search_runs([found.experiment_id])
        if "mlflow.parentRunId" in run.data.tags
    )


def test_the_revision_is_that_of_mlflows_own_stores(store: Path) -> None:
    with contextlib.closing(sqlite3.connect(store)) as db:
        assert db.execute("SELECT version_num FROM alembic_version").fetchone() == (reading.current(),)
    assert not reading.is_of_another(store)


@pytest.mark.parametrize("spoil", [make_earlier, damage, empty])
def test_a_store_of_another_version_is_set_aside_and_rebuilt_from_the_ledgers(
    sweep: Recorded, store: Path, spoil: Callable[[Path], None]
) -> None:
    sync_recorded(sweep.folder)
    spoil(store)
    before, said = store.read_bytes(), list[str]()
    sync_recorded(sweep.folder, said.append)
    (aside,) = store.parent.glob("mlflow-until-*.db")
    assert aside.read_bytes() == before
    assert runs(store) == ["a"]
    assert any(f"It is kept as {aside}" in line for line in said)


USE = """
import sys
from pathlib import Path
from tune_jobs.record.folder import SweepFolder
from tune_jobs.tracking.mlflow.store import use_store
use = use_store(sys.argv[1], SweepFolder(Path(sys.argv[2])))
print("in use", flush=True)
sys.stdin.read()
"""


def test_a_store_of_another_version_that_is_in_use_is_left_alone(sweep: Recorded, store: Path) -> None:
    command = [sys.executable, "-c", USE, sqlite_uri(store), str(sweep.folder.path.with_name("other"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdout is not None
        assert other.stdout.readline() == "in use\n"
        make_earlier(store)
        before, said = store.read_bytes(), list[str]()
        place = sync_recorded(sweep.folder, said.append)
        assert (place.uri, store.read_bytes()) == (sqlite_uri(sweep.folder.store), before)
        assert any(f"and is in use; the runs of tracked are in {sweep.folder.store} for now" in line for line in said)
        assert runs(sweep.folder.store) == ["a"]
        other.kill()
    place = sync_recorded(sweep.folder)
    assert (place.uri, runs(store)) == (sqlite_uri(store), ["a"])
    assert sweep.folder.store.exists()


def test_a_chosen_store_of_another_version_is_refused_and_unchanged(sweep: Recorded, tmp_path: Path) -> None:
    chosen = tmp_path / "mine.db"
    uri = new_store(chosen)
    make_earlier(chosen)
    before = chosen.read_bytes()
    with pytest.raises(TrackerError, match="mlflow db upgrade sqlite:"):
        use_store(uri, sweep.folder)
    assert chosen.read_bytes() == before


def test_a_sweep_named_like_the_store_has_a_separate_store(tmp_path: Path) -> None:
    with recorded(tmp_path, "mlflow.db") as sweep:
        sweep.folder.spec.write_text(FILE.replace("tracked", "mlflow.db"))
        sweep.attempt([1], "complete")
        new_store(sweep.folder.store)
        assert sync_recorded(sweep.folder).uri == sqlite_uri(sweep.folder.store)


def test_runs_of_an_older_store_in_the_sweeps_folder_are_copied_and_stay_there(sweep: Recorded, store: Path) -> None:
    older = new_store(sweep.folder.store)
    sweep.ship(older)
    sweep.ledger.meta.tracker_is_default = False  # 0.1.0 did not record it
    assert sync_recorded(sweep.folder).uri == sqlite_uri(store)
    assert runs(store) == ["a"]
    assert runs(sweep.folder.store, sweep.experiment) == ["a"]


def test_the_artifacts_of_a_moved_store_are_found_in_the_new_place(
    sweep: Recorded, store: Path, tmp_path: Path
) -> None:
    sync_recorded(sweep.folder)
    sweep.ledger.close()
    there = tmp_path / "elsewhere"
    shutil.copytree(store.parent, there)
    before = {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")}
    moved = SweepFolder(there / "tracked")
    with contextlib.closing(Ledger(moved.ledger, create=True)) as ledger:
        ledger.add_request("a", "exclude", "wrong images")
    convnn("sync", "tracked", storage=there)  # a separate process, since MLflow caches the location of a run's files
    client = MlflowClient(sqlite_uri(there / "mlflow.db"))
    (parent,) = [run for run in client.search_runs(["1"]) if run.data.tags["run_key"] == "sweep"]
    assert parent.info.artifact_uri.startswith((there / ".mlflow-artifacts").as_uri())
    assert "report.html" in {file.path for file in client.list_artifacts(parent.info.run_id)}
    assert {path: path.stat().st_mtime_ns for path in store.parent.rglob("*")} == before
