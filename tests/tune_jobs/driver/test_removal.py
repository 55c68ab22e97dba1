"""What happens to a sweep's runs in a shared store when the sweep is removed or moved aside."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import ViewType

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.shipping import recorded
from tests.tune_jobs.stores import new_store
from tune_jobs.driver.removal import remove, start_over
from tune_jobs.driver.sync import sync_recorded
from tune_jobs.record.folder import SweepFolder
from tune_jobs.tracking.address import sqlite_uri

FILE = "name: {name}\nspace: {{model: {{name: vgg11, layer: {{kind: conv2d}}}}}}\n"


@pytest.fixture
def storage(tmp_path: Path) -> Path:
    """A storage folder with an MLflow store and no sweep."""
    new_store(tmp_path / "my sweeps" / "mlflow.db")
    return tmp_path / "my sweeps"


def made(storage: Path, name: str, more: str = "") -> SweepFolder:
    """Create a sweep with one trial, and sync it to MLflow."""
    with recorded(storage.parent, name) as sweep:
        sweep.folder.spec.write_text(FILE.format(name=name) + more)
        sweep.attempt([1, 2], "complete")
    sync_recorded(sweep.folder)
    return sweep.folder


def sweeps_in(storage: Path, store: str = "mlflow.db") -> dict[str, list[str]]:
    """Return the sweep of each run, by experiment that is not deleted; a sweep has its own run and one per trial."""
    client = MlflowClient(sqlite_uri(storage / store))
    return {
        found.name: sorted(run.data.tags.get("sweep", "nobody") for run in client.search_runs([found.experiment_id]))
        for found in client.search_experiments()
        if found.name != "Default"
    }


def test_a_removed_sweep_leaves_other_sweeps_alone_and_frees_its_name(storage: Path) -> None:
    mine, other = made(storage, "mine"), made(storage, "other")
    files = {path.name for path in (storage / ".mlflow-artifacts").iterdir()}
    said = invoke("rm", "mine", "--yes", storage=storage)
    assert "Its experiment 'mine' in MLflow is deleted." in said
    assert not mine.path.exists()
    assert sweeps_in(storage) == {"other": ["other", "other"]}
    assert len(files - {path.name for path in (storage / ".mlflow-artifacts").iterdir()}) == 1
    client = MlflowClient(sqlite_uri(storage / "mlflow.db"))
    (deleted,) = client.search_experiments(view_type=ViewType.DELETED_ONLY)
    assert deleted.name.startswith("mine (removed ")
    made(storage, "mine")
    assert sweeps_in(storage) == {"mine": ["mine", "mine"], "other": ["other", "other"]}
    assert other.path.exists()


def test_rm_says_beforehand_that_the_runs_are_deleted_too(storage: Path) -> None:
    made(storage, "mine")
    asked = invoke("rm", "mine", storage=storage, expect=2)
    assert f"Its runs in {storage / 'mlflow.db'} are also deleted. No terminal is available to ask" in asked
    assert sweeps_in(storage) == {"mine": ["mine", "mine"]}


def test_in_a_shared_experiment_only_the_sweeps_own_runs_are_deleted(storage: Path) -> None:
    shared = "tracking: {experiment: both}\n"
    mine, _ = made(storage, "mine", shared), made(storage, "other", shared)
    client = MlflowClient(sqlite_uri(storage / "mlflow.db"))
    own = client.create_run(client.get_experiment_by_name("both").experiment_id, run_name="by hand")
    client.set_tag(own.info.run_id, "mlflow.note.content", "a note")
    assert remove(mine) == (
        "Its 2 runs in MLflow's experiment 'both' are deleted; 3 runs of others stay (by hand, other).",
    )
    assert sweeps_in(storage) == {"both": ["nobody", "other", "other"]}
    assert client.get_run(own.info.run_id).data.tags["mlflow.note.content"] == "a note"


def test_a_sweep_that_starts_over_has_an_empty_experiment_and_earlier_notes_stay(storage: Path) -> None:
    mine, client = made(storage, "mine"), MlflowClient(sqlite_uri(storage / "mlflow.db"))
    (run, _) = client.search_runs([client.get_experiment_by_name("mine").experiment_id])
    client.set_tag(run.info.run_id, "mine", "a note")
    aside, told = start_over(mine)
    assert told == (f"Its runs in MLflow are now in the experiment {aside.name!r}.",)
    assert sweeps_in(storage) == {aside.name: ["mine", "mine"]}
    made(storage, "mine")
    assert sweeps_in(storage) == {aside.name: ["mine", "mine"], "mine": ["mine", "mine"]}
    assert client.get_run(run.info.run_id).data.tags["mine"] == "a note"
    sync_recorded(aside)  # nothing to do: the runs moved with it
    assert sweeps_in(storage)[aside.name] == ["mine", "mine"]
    assert len(client.search_runs([client.get_experiment_by_name("mine").experiment_id])) == 2


def test_in_a_shared_experiment_a_sweep_that_starts_over_takes_its_runs_along(storage: Path) -> None:
    mine, _ = made(storage, "mine"), made(storage, "other", "tracking: {experiment: mine}\n")
    aside, (told,) = start_over(mine)
    assert "2 runs of others stay (other)" in told
    assert sweeps_in(storage) == {"mine": ["other", "other"]}
    sync_recorded(aside)
    assert sweeps_in(storage) == {"mine": ["other", "other"], aside.name: [aside.name, aside.name]}


@pytest.mark.parametrize("away", [remove, start_over])
def test_a_copy_without_runs_does_not_touch_the_original_runs(
    storage: Path, away: Callable[[SweepFolder], object]
) -> None:
    mine = made(storage, "mine")
    away(SweepFolder(shutil.copytree(mine.path, storage / "copy")))
    assert sweeps_in(storage) == {"mine": ["mine", "mine"]}


def test_runs_in_a_store_that_was_set_aside_stay_and_are_reported(storage: Path) -> None:
    mine = made(storage, "mine")
    with contextlib.closing(sqlite3.connect(storage / "mlflow.db")) as db, db:
        db.execute("UPDATE alembic_version SET version_num='0a8213491aaa'")
    sync_recorded(mine)
    (aside,) = storage.glob("mlflow-until-*.db")
    before = aside.read_bytes()
    told = remove(mine)
    assert told == ("Its experiment 'mine' in MLflow is deleted.", f"Its runs stay in {aside}, which was set aside.")
    assert aside.read_bytes() == before


def test_a_sweep_is_removed_even_if_mlflow_cannot_be_written(storage: Path) -> None:
    mine, store = made(storage, "mine"), storage / "mlflow.db"
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("DROP TABLE experiments")
    (told,) = remove(mine)
    assert told.startswith(f"Its runs in MLflow stay: MLflow at {sqlite_uri(store)}: ")
    assert not mine.path.exists()


def test_a_sweep_on_a_cluster_must_be_fetched_first(storage: Path) -> None:
    for command in ("rm", "ui"):
        said = invoke(command, "mine", "--address", "http://head:8265", storage=storage, expect=2)
        assert "convnn fetch mine --address http://head:8265" in said
        assert len(said.splitlines()) == 1
