import stat
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tune_jobs.system import scratch
from tune_jobs.system.scratch import place_of_sockets, scratch_folder, socket_folder

MAKE = """
import sys, tempfile
tempfile.tempdir = sys.argv[1]
from tune_jobs.system.scratch import scratch_folder
print(scratch_folder("tune"), flush=True)
input()
"""


def maker(place: Path) -> "subprocess.Popen[str]":
    """Start a process that has such a folder."""
    command = [sys.executable, "-c", MAKE, str(place)]
    return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


def test_folders_of_killed_processes_are_removed_and_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    (tmp_path / "convnn-tune-of-somebody").mkdir()
    with maker(tmp_path) as killed, maker(tmp_path) as live:
        assert killed.stdout is not None
        assert live.stdout is not None
        left, there = (Path(process.stdout.readline().strip()) for process in (killed, live) if process.stdout)
        killed.kill()
        killed.wait()
        (left / "a file").touch()
        new = scratch_folder("tune")
        assert sorted(tmp_path.iterdir()) == sorted([there, new, tmp_path / "convnn-tune-of-somebody"])
        live.kill()
    assert stat.S_IMODE(new.stat().st_mode) == 0o700


def test_sockets_have_a_short_path_whatever_the_temporary_folder_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    long = tmp_path / ("deep" * 20)
    monkeypatch.setattr(tempfile, "tempdir", str(long))
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    assert place_of_sockets() == Path("/tmp")  # noqa: S108
    monkeypatch.setattr(tempfile, "tempdir", "/var/tmp")  # noqa: S108
    assert place_of_sockets() == Path("/var/tmp")  # noqa: S108
    monkeypatch.setenv("RAY_TMPDIR", "/dev/shm")  # noqa: S108
    assert place_of_sockets() == Path("/dev/shm")  # noqa: S108
    monkeypatch.setattr(scratch, "place_of_sockets", lambda: tmp_path)
    assert stat.S_IMODE(socket_folder().stat().st_mode) == 0o700


def test_a_folder_stays_when_its_process_executes_another_program(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    code = MAKE.replace('scratch_folder("tune")', 'scratch_folder("tune", kept_by_exec=True)')
    code = code.replace("input()", 'import os; os.execv("/bin/cat", ["cat"])')
    with subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        there = Path(process.stdout.readline().strip())
        process.stdin.write("it is another program now\n")
        process.stdin.flush()
        assert process.stdout.readline() == "it is another program now\n"
        scratch_folder("tune")
        assert there.is_dir()
        process.stdin.close()
        process.wait(10)
    scratch_folder("tune")
    assert not there.exists()
