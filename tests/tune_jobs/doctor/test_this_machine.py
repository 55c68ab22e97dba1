import os
from pathlib import Path

import pytest

from tune_jobs.doctor import this_machine
from tune_jobs.doctor.this_machine import check_folder


def test_a_folder_that_is_not_there_yet_is_judged_by_where_it_would_be(tmp_path: Path) -> None:
    found = check_folder(tmp_path / "new" / "sweeps")
    assert found.ok
    assert found.says.startswith(f"{tmp_path / 'new' / 'sweeps'} can be written, ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = check_folder(tmp_path / "file" / "sweeps")
    assert str(found) == f"FAIL storage   {tmp_path / 'file'} is a file; mend: choose another with --storage"


def test_a_folder_where_nothing_can_be_written_is_said() -> None:
    found = check_folder(Path("/proc") / "sweeps")  # for root, too
    assert not found.ok
    assert found.says.startswith("/proc cannot be written: ")
    assert (found.mend or "").startswith("chmod u+w /proc")


def test_a_disk_without_room_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = os.statvfs(tmp_path)
    monkeypatch.setattr(this_machine, "LEAST_FREE_GB", 1 + there.f_frsize * there.f_blocks / 1e9)
    found = check_folder(tmp_path)
    assert not found.ok
    assert found.mend == "make room there"
