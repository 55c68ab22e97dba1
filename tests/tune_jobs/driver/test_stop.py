"""`convnn stop`, on a sweep that another process has taken for itself. What a driver does then, the faults check."""

import contextlib
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from tests.tune_jobs.program import convnn, convnn_json
from tests.tune_jobs.shipping import Recorded

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
    assert convnn_json("status", name, storage=storage)["driver"]["pid"] == holder.pid
    assert f"convnn resume {name}" in convnn("stop", name, *option, storage=storage)
    assert holder.wait(10) == code
    assert not convnn_json("status", name, storage=storage)["running"]
    assert not sweep.folder.pause_file.exists()


def test_a_sweep_that_nothing_runs_cannot_be_stopped(sweep: Recorded) -> None:
    storage, name = sweep.folder.path.parent, sweep.folder.name
    assert f"nothing runs {name}" in convnn("stop", name, storage=storage, expect=2)
    assert "not running" in convnn("status", name, storage=storage)
