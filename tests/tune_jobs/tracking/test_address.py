import contextlib
import shutil
from pathlib import Path

import pytest

from tests.tune_jobs.shipping import Recorded
from tests.tune_jobs.stores import new_store
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.address import (
    absolute,
    default_store,
    is_relative,
    sqlite_file,
    sqlite_uri,
    store_of,
    tracker_of,
)


def test_the_tracker_is_that_of_file_environment_earlier_choice_or_storage_folder(
    sweep: Recorded, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder, ledger = sweep.folder, sweep.ledger
    assert tracker_of(None, folder, ledger) == f"sqlite:///{folder.path.parent}/mlflow.db"
    ledger.meta.tracker = "http://127.0.0.1:4321"
    assert tracker_of(None, folder, ledger) == "http://127.0.0.1:4321"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://127.0.0.1:1234")
    assert tracker_of(None, folder, ledger) == "http://127.0.0.1:1234"
    assert tracker_of("http://127.0.0.1:99", folder, ledger) == "http://127.0.0.1:99"
    monkeypatch.chdir(tmp_path)
    assert tracker_of("sqlite:///mine.db", folder, ledger) == f"sqlite:///{tmp_path}/mine.db"


def test_a_sweep_stays_in_its_store_when_none_is_named(sweep: Recorded, uri: str) -> None:
    sweep.attempt([1], "interrupted")
    sweep.ship(uri)
    sweep.attempt([2], "complete")
    sweep.ship(tracker_of(None, sweep.folder, sweep.ledger))
    sweep.expect_whole(uri)
    assert not default_store(sweep.folder).exists()


def test_on_a_network_disk_each_sweep_has_a_separate_store(
    sweep: Recorded, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"36 35 98:0 / {str(tmp_path.resolve()).replace(' ', chr(92) + '040')} rw - nfs4 server:/x rw\n")
    monkeypatch.setattr("tune_jobs.system.mounts.MOUNTS", mounts)
    assert default_store(sweep.folder) == sweep.folder.path / "mlflow.db"


def test_a_default_store_stays_behind_when_a_sweep_is_moved(sweep: Recorded, tmp_path: Path) -> None:
    new_store(default_store(sweep.folder))
    sweep.attempt([1], "complete")
    sweep.ship(tracker_of(None, sweep.folder, sweep.ledger))
    there = SweepFolder(tmp_path / "elsewhere" / "tracked")
    shutil.copytree(sweep.folder.path, there.path)
    with contextlib.closing(Ledger(there.ledger)) as ledger:
        assert tracker_of(None, there, ledger) == sqlite_uri(tmp_path / "elsewhere" / "mlflow.db")


@pytest.mark.parametrize(
    ("uri", "whole", "store"),
    [
        ("sqlite:///mine.db", "sqlite:///{here}/mine.db", "{here}/mine.db"),
        ("sqlite:////there//mine.db", "sqlite:////there//mine.db", "/there/mine.db"),
        ("runs", "file://{here}/runs", "{here}/runs"),
        ("file:///there/my%20runs", "file:///there/my%20runs", "/there/my runs"),
        ("http://host:5000", "http://host:5000", None),
        ("postgresql://host/db", "postgresql://host/db", None),
    ],
)
def test_an_absolute_address_is_valid_in_every_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, uri: str, whole: str, store: str | None
) -> None:
    monkeypatch.chdir(tmp_path)
    whole = whole.format(here=tmp_path)
    assert absolute(uri) == whole
    assert is_relative(uri) is (uri != whole)
    assert store_of(whole) == (Path(store.format(here=tmp_path)) if store else None)
    assert (sqlite_file(whole) is not None) is uri.startswith("sqlite:")


@pytest.mark.parametrize(
    "name", ["plain", "why?", "%3F", "100%", "a#b", "?mode=memory", "file:x?uri=true", "é 'x' &=;"]
)
def test_the_address_of_a_store_leads_back_to_its_file(tmp_path: Path, name: str) -> None:
    store = tmp_path / name / "mlflow.db"
    assert sqlite_file(sqlite_uri(store)) == store
    assert absolute(sqlite_uri(store)) == sqlite_uri(store)
