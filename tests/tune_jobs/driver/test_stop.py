"""`convnn stop`, on a sweep that another process has taken for itself. What a driver does then, the faults check."""

import contextlib
import fcntl
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.names import LOCK, OWNER

HOLD = """
import sys, time
from pathlib import Path
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import lease
folder = SweepFolder(Path(sys.argv[1]))
with lease(folder.path):
    print("held", flush=True)
    while not folder.pause_file.exists():
        time.sleep(0.05)
"""
"""Stands where a driver would: SIGTERM ends it, and so does the wish that it pause."""


@pytest.fixture
def holder(sweep: Recorded) -> Iterator["subprocess.Popen[str]"]:
    command = [sys.executable, "-c", HOLD, str(sweep.folder.path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield process
        with contextlib.suppress(ProcessLookupError):
            process.kill()


@pytest.mark.parametrize(("option", "code"), [([], -signal.SIGTERM), (["--pause"], 0)])
def test_a_sweep_that_is_stopped_has_ended_and_how_to_go_on_is_said(
    holder: "subprocess.Popen[str]", sweep: Recorded, option: list[str], code: int
) -> None:
    storage, name = sweep.folder.path.parent, sweep.folder.name
    assert invoke_json("status", name, storage=storage)["driver"]["pid"] == holder.pid
    assert f"convnn resume {name}" in invoke("stop", name, *option, storage=storage)
    assert holder.wait(10) == code
    assert not invoke_json("status", name, storage=storage)["running"]
    assert not sweep.folder.pause_file.exists()


@pytest.mark.parametrize("change", [{"namespace": "pid:[1]"}, {"boot": "earlier"}, {"started": "0"}, {"pid": -1}, None])
def test_a_process_that_may_be_another_one_is_not_signalled_but_asked_through_the_folder(
    holder: "subprocess.Popen[str]", sweep: Recorded, change: dict[str, object] | None
) -> None:
    note = sweep.folder.path / OWNER
    noted = json.loads(note.read_text())
    noted["process"] = noted["process"] | change if change else None
    note.write_text(json.dumps(noted))
    said = invoke("stop", sweep.folder.name, storage=sweep.folder.path.parent)
    assert "cannot be signalled from here; it is asked through the sweep's folder" in said
    assert holder.wait(10) == 0


@pytest.mark.parametrize("pid", [-1, 0, True, "7", None, 1.5, []])
def test_what_is_no_process_id_is_never_signalled(sweep: Recorded, pid: object) -> None:
    (sweep.folder.path / OWNER).write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))
    with sweep.folder.path.joinpath(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "nothing runs" in invoke("stop", sweep.folder.name, storage=sweep.folder.path.parent, expect=2)


def test_a_sweep_that_nothing_runs_cannot_be_stopped(sweep: Recorded) -> None:
    storage, name = sweep.folder.path.parent, sweep.folder.name
    assert f"nothing runs {name}" in invoke("stop", name, storage=storage, expect=2)
    assert "not running" in invoke("status", name, storage=storage)
