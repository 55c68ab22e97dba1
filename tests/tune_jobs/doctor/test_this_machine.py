import os
from pathlib import Path

import pytest

from tests.tune_jobs.planning.planned import spec
from tune_jobs.doctor import this_machine
from tune_jobs.doctor.this_machine import check_folder
from tune_jobs.planning import plan as planning
from tune_jobs.planning import warnings
from tune_jobs.planning.plan import plan
from tune_jobs.system.cpus import Cpus


def test_a_missing_folder_is_checked_without_creating_it(tmp_path: Path) -> None:
    found = check_folder(tmp_path / "new" / "sweeps")
    assert found.ok
    assert found.says.startswith(f"{tmp_path / 'new' / 'sweeps'} is writable, ")
    assert list(tmp_path.iterdir()) == []


def test_a_file_is_not_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    found = check_folder(tmp_path / "file" / "sweeps")
    assert str(found) == f"FAIL storage   {tmp_path / 'file'} is a file; fix: choose another with --storage"


def test_a_folder_that_is_not_writable_is_reported() -> None:
    found = check_folder(Path("/proc") / "sweeps")  # not writable for root either
    assert not found.ok
    assert found.says.startswith("/proc is not writable: ")
    assert (found.fix or "").startswith("chmod u+w /proc")


def test_doctor_and_plan_report_the_same_memory_problem(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(this_machine, "usable_memory_gb", lambda: 1.5)
    monkeypatch.setattr(warnings, "usable_memory_gb", lambda: 1.5)
    monkeypatch.setattr(planning, "usable_cpus", lambda: Cpus(2, 2, None))
    found = plan(spec())
    (check,) = (
        check
        for check in this_machine.check_here(tmp_path, None, [], memory_gb=found.memory_gb, at_once=found.slots)
        if check.check == "memory"
    )
    (said,) = found.warnings
    assert not check.ok
    assert said == f"{check.says}; {check.fix}."


def test_a_full_disk_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    there = os.statvfs(tmp_path)
    monkeypatch.setattr(this_machine, "LEAST_FREE_GB", 1 + there.f_frsize * there.f_blocks / 1e9)
    found = check_folder(tmp_path)
    assert not found.ok
    assert found.fix == "free space there"
