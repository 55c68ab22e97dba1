import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from tune_jobs.errors import LedgerError
from tune_jobs.record.lease import lease, live_driver
from tune_jobs.record.names import OWNER

HOLD = """
import sys, time
from pathlib import Path
from tune_jobs.record.lease import lease
with lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


def hold(folder: Path) -> "subprocess.Popen[str]":
    """Start a process that holds the lease."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_driver_is_refused_and_a_killed_one_leaves_the_sweep_free(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    refused = pytest.raises(LedgerError, match=f"is already running in process {holder.pid} on .*--set name=")
    with refused, lease(tmp_path):
        pass
    found = live_driver(tmp_path)
    assert found is not None
    assert found["pid"] == holder.pid
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert live_driver(tmp_path) is None
    with lease(tmp_path):
        assert (live_driver(tmp_path) or {})["pid"] == os.getpid()
    assert live_driver(tmp_path) is None


def test_a_driver_elsewhere_counts_until_its_process_ends(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    there = {"host": "a container that is gone", "pid": 7, "since": 0.0}
    (tmp_path / OWNER).write_text(json.dumps(there))  # the container has other host names and process ids
    assert live_driver(tmp_path) == there
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert json.loads((tmp_path / OWNER).read_text()) == there
    assert live_driver(tmp_path) is None


def test_a_reader_that_checks_for_a_driver_is_not_taken_for_one(tmp_path: Path) -> None:
    with lease(tmp_path):
        note = (tmp_path / OWNER).read_text()
    (tmp_path / OWNER).write_text(note)  # left by a killed driver; another process has this id now
    with (tmp_path / "driver.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # held by another reader for a moment
        assert live_driver(tmp_path) is None


@pytest.mark.parametrize(
    ("host", "counts"), [("another one", True), (socket.gethostname(), False)], ids=["there", "here"]
)
def test_without_a_lock_a_note_counts_unless_its_process_is_known_to_be_dead(
    tmp_path: Path, host: str, counts: bool
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / OWNER).write_text(json.dumps({"host": host, "pid": ended.pid, "since": 0.0}))
    assert (live_driver(tmp_path) is not None) is counts
    assert not (tmp_path / "driver.lock").exists()
