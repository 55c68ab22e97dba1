"""A sweep's folder is copied through a job's log and moved into place, without a cluster."""

import contextlib
import io
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.tune_jobs.shipping import Recorded, recorded
from tune_jobs.cluster.job_result import Receiver
from tune_jobs.cluster.transfer import put_in_place, send_copy, unpack
from tune_jobs.errors import UsageError
from tune_jobs.record.folder import SweepFolder


@pytest.fixture
def ended(sweep: Recorded) -> Recorded:
    """Return a sweep with a checkpoint, and with files that are useless elsewhere."""
    sweep.attempt([1, 2], "complete")
    place = sweep.folder.attempt("a", 1)
    place.mkdir(parents=True)
    (place / "log.txt").write_text("epoch 1\n")
    (place / "checkpoint-00002.pt").write_bytes(bytes(5000))
    for name in ("manifest.json", "driver.json", "driver.lock", "stopping", "report.partial"):
        (sweep.folder.path / name).write_text("{}")
    return sweep


def copied(sweep: Recorded, what: str, into: Path) -> dict[str, Any]:
    """Send a copy as a job would, receive it from the log, and unpack it; return where it was."""
    out = io.StringIO()
    storage = sweep.folder.path.parent
    with contextlib.redirect_stdout(out):
        send_copy({"sweep": sweep.folder.name, "storage": str(storage), "what": what})
    archive = into.with_suffix(".tar.gz")
    with archive.open("wb") as file:
        receiver = Receiver(file, "head")
        receiver.take(out.getvalue())
    assert receiver.whole
    return unpack(archive, into, "head")


def files(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_record_has_the_ledger_the_file_and_the_manifest(ended: Recorded, tmp_path: Path) -> None:
    origin = copied(ended, "record", tmp_path / "copy")
    assert files(tmp_path / "copy") == {"ledger.db", "sweep.yaml", "manifest.json"}
    assert (origin["path"], origin["driver"], origin["left_out_bytes"]) == (str(ended.folder.path), None, 0)
    with contextlib.closing(sqlite3.connect(tmp_path / "copy" / "ledger.db")) as copy:
        assert copy.execute("SELECT count(*) FROM epochs").fetchone() == (2,)


def test_a_folder_is_copied_without_checkpoints_and_driver_files(ended: Recorded, tmp_path: Path) -> None:
    origin = copied(ended, "folder", tmp_path / "copy")
    assert origin["left_out_bytes"] == 5000
    whole = {"ledger.db", "sweep.yaml", "manifest.json", "trials/a/1/log.txt"}
    assert files(tmp_path / "copy") == whole
    copied(ended, "checkpoints", tmp_path / "all")
    assert files(tmp_path / "all") == {*whole, "trials/a/1/checkpoint-00002.pt"}


def test_a_later_copy_replaces_an_earlier_one_and_keeps_missing_files(ended: Recorded, tmp_path: Path) -> None:
    here = SweepFolder(tmp_path / "here" / "tracked")
    copied(ended, "checkpoints", tmp_path / "first")
    put_in_place(tmp_path / "first", here)
    (here.path / "notes.txt").write_text("mine")
    ended.attempt([1], "complete", trial="b")
    copied(ended, "folder", tmp_path / "second")
    put_in_place(tmp_path / "second", here)
    assert {"notes.txt", "trials/a/1/checkpoint-00002.pt"} < files(here.path)
    with contextlib.closing(sqlite3.connect(here.ledger)) as ledger:
        assert ledger.execute("SELECT count(*) FROM trials").fetchone() == (2,)
    assert [path.name for path in here.path.parent.iterdir()] == ["tracked"]


@pytest.mark.parametrize("there", ["not a sweep", "another sweep of this name", "this sweep, resumed here"])
def test_only_an_earlier_copy_is_replaced(ended: Recorded, tmp_path: Path, there: str) -> None:
    copied(ended, "record", tmp_path / "copy")
    here = SweepFolder(tmp_path / "here" / "tracked")
    if there == "not a sweep":
        here.path.mkdir(parents=True)
        (here.path / "notes.txt").write_text("mine")
    elif there == "another sweep of this name":
        with recorded(tmp_path / "other") as other:
            here = other.folder
    else:
        copied(ended, "record", tmp_path / "first")
        ended.attempt([1], "complete", trial="b")
        copied(ended, "record", tmp_path / "later")
        put_in_place(tmp_path / "later", here)
    before = {name: (here.path / name).read_bytes() for name in files(here.path)}
    with pytest.raises(UsageError, match=f"already exists, and it is {there}; nothing was copied"):
        put_in_place(tmp_path / "copy", here)
    assert {name: (here.path / name).read_bytes() for name in files(here.path)} == before


def test_a_missing_sweep_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no sweep 'mine'"):
        send_copy({"sweep": "mine", "storage": str(tmp_path), "what": "record"})
