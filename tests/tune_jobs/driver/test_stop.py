"""`convnn stop`, on a sweep that another process runs here."""

import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.faults.sweeps import GRID
from tests.tune_jobs.program import convnn, convnn_json, start

if TYPE_CHECKING:
    import subprocess

SWEEP = GRID.but(space__training__epochs=200, space__data={"limit": 400})


@pytest.fixture
def running(tmp_path: Path) -> "subprocess.Popen[str]":
    process = start("run", SWEEP.write(tmp_path / "sweep.yaml"), storage=tmp_path)
    deadline = time.monotonic() + 120
    while (
        not (tmp_path / "grid" / "ledger.db").exists()
        or not convnn_json("status", "grid", storage=tmp_path)["standing"]["trials"]
    ):
        assert time.monotonic() < deadline
        time.sleep(0.5)
    return process


@pytest.mark.parametrize("option", [[], ["--pause"]])
def test_a_sweep_that_is_stopped_keeps_its_state_and_says_how_to_go_on(
    running: "subprocess.Popen[str]", tmp_path: Path, option: list[str]
) -> None:
    assert convnn_json("status", "grid", storage=tmp_path)["driver"]["pid"] == running.pid
    said = convnn("stop", "grid", *option, storage=tmp_path)
    assert "convnn resume grid" in said
    assert running.wait(10) == 128 + signal.SIGTERM
    standing = convnn_json("show", "grid", storage=tmp_path)
    assert {trial["state"] for trial in standing["trials"]} <= {"interrupted", "waiting"}
    assert not convnn_json("status", "grid", storage=tmp_path)["running"]
    assert not (tmp_path / "grid" / "pausing").exists()
    running.communicate()


def test_a_sweep_that_nothing_runs_cannot_be_stopped(tmp_path: Path) -> None:
    storage = tmp_path
    one = GRID.but(space__training={"epochs": 1, "lr": 0.001}, space__model__layer={"lambda": 0.5})
    convnn("run", one.write(tmp_path / "s.yaml"), storage=storage)
    assert "nothing runs grid" in convnn("stop", "grid", storage=storage, expect=2)
    assert "not running" in convnn("status", "grid", storage=storage)
