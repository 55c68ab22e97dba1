"""`convnn stop` on a sweep that another process holds. tests/faults check what a real driver does then."""

import contextlib
import fcntl
import json
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded
from tune_jobs.driver.stop import asked_to_stop, forget_requests, stop_trial
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
"""A stand-in for a driver: SIGTERM or a request to pause ends it."""


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
def test_a_stopped_sweep_has_ended_and_the_message_says_how_to_resume(
    holder: "subprocess.Popen[str]", sweep: Recorded, option: list[str], code: int
) -> None:
    storage, name = sweep.folder.path.parent, sweep.folder.name
    assert invoke_json("status", name, storage=storage)["driver"]["pid"] == holder.pid
    assert f"convnn resume {name}" in invoke("stop", name, *option, storage=storage)
    assert holder.wait(10) == code
    assert not invoke_json("status", name, storage=storage)["running"]
    assert not sweep.folder.pause_file.exists()


@pytest.mark.parametrize("change", [{"namespace": "pid:[1]"}, {"boot": "earlier"}, {"started": "0"}, {"pid": -1}, None])
def test_a_process_that_may_be_a_different_one_is_asked_through_the_folder_instead_of_signalled(
    holder: "subprocess.Popen[str]", sweep: Recorded, change: dict[str, object] | None
) -> None:
    note = sweep.folder.path / OWNER
    noted = json.loads(note.read_text())
    noted["process"] = noted["process"] | change if change else None
    note.write_text(json.dumps(noted))
    said = invoke("stop", sweep.folder.name, storage=sweep.folder.path.parent)
    assert "cannot be signalled from here; requesting the stop through the sweep's folder" in said
    assert holder.wait(10) == 0


@pytest.mark.parametrize("pid", [-1, 0, True, "7", None, 1.5, []])
def test_an_invalid_process_id_is_never_signalled(sweep: Recorded, pid: object) -> None:
    (sweep.folder.path / OWNER).write_text(json.dumps({"host": socket.gethostname(), "pid": pid}))
    with sweep.folder.path.joinpath(LOCK).open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert "is not running" in invoke("stop", sweep.folder.name, storage=sweep.folder.path.parent, expect=2)


def test_a_sweep_that_is_not_running_cannot_be_stopped(sweep: Recorded) -> None:
    storage, name = sweep.folder.path.parent, sweep.folder.name
    assert f"{name} is not running" in invoke("stop", name, storage=storage, expect=2)
    assert "not running" in invoke("status", name, storage=storage)


TAKE_UP = """
import sys, time
from contextlib import closing
from pathlib import Path
from tune_jobs.driver.stop import asked_to_stop
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
folder, ends = SweepFolder(Path(sys.argv[1])), sys.argv[2]
with lease(folder.path), closing(Ledger(folder.ledger, create=True)) as ledger:
    print("held", flush=True)
    left = {trial.run_key for trial in ledger.trials() if trial.state == "running"}
    while left:
        for key in asked_to_stop(folder):
            if ends == "complete":
                ledger.end_attempt(key, 1, "complete")
            elif key in left:
                ledger.add_request(key, "stop")
                if ends == "dies":
                    sys.exit()
                ledger.add_epoch(key, 1, 3, {"val/accuracy": 0.5})
                ledger.end_attempt(key, 1, "stopped", "by hand")
            left.discard(key)
        time.sleep(0.05)
    time.sleep(1)
"""
"""A stand-in for a driver: ends the trials that it is asked to stop, in the given way."""


@contextlib.contextmanager
def driver(sweep: Recorded, ends: str = "by hand") -> Iterator[None]:
    command = [sys.executable, "-c", TAKE_UP, str(sweep.folder.path), ends]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        yield
        process.kill()


def test_one_running_trial_is_stopped_and_the_message_says_how_to_run_it_again(sweep: Recorded) -> None:
    sweep.attempt([1, 2])
    with driver(sweep):
        said = invoke("stop", "tracked", 1, storage=sweep.folder.path.parent)
    assert "trial 1 of tracked has stopped after epoch 3; the sweep continues" in said
    assert "convnn retry tracked --stopped" in said
    assert not list(sweep.folder.stop_trials.iterdir())


def test_several_trials_are_stopped_at_the_same_time(sweep: Recorded) -> None:
    for trial in "abc":
        sweep.attempt([1], trial=trial)
    with driver(sweep), ThreadPoolExecutor() as pool:
        rows = list(pool.map(lambda key: stop_trial(sweep.folder, key, 30), "abc"))
    assert [(row.run_key, row.state, row.reason) for row in rows] == [(key, "stopped", "by hand") for key in "abc"]


def test_a_trial_that_ends_at_the_same_moment_keeps_its_end_state(sweep: Recorded) -> None:
    sweep.attempt([1, 2])
    with driver(sweep, "complete"):
        said = invoke("stop", "tracked", 1, storage=sweep.folder.path.parent)
    assert "trial 1 of tracked ended before the stop took effect: complete." in said


def test_a_driver_that_dies_before_the_trial_ends_is_reported_with_the_consequence(sweep: Recorded) -> None:
    sweep.attempt([1, 2])
    with driver(sweep, "dies"):
        said = invoke("stop", "tracked", 1, storage=sweep.folder.path.parent, expect=1)
    assert "the driver of tracked ended before trial 1; to end it after its next epoch: convnn resume" in said


def test_a_trial_that_is_not_running_cannot_be_stopped_and_the_message_has_its_state(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    sweep.attempt([1], trial="b")
    sweep.attempt([1], "interrupted", trial="c")
    storage = sweep.folder.path.parent
    with driver(sweep):
        assert "trial 1 of tracked is not running; it is complete." in invoke(
            "stop", "tracked", 1, storage=storage, expect=2
        )
        assert "it is interrupted; to exclude it: convnn stop tracked, then convnn exclude tracked 3" in invoke(
            "stop", "tracked", 3, storage=storage, expect=2
        )
        assert "tracked has no trial '4'" in invoke("stop", "tracked", 4, storage=storage, expect=2)
    said = invoke("stop", "tracked", 2, storage=storage, expect=2)
    assert "tracked is not running; its trial 2 is pending; to exclude it: convnn exclude tracked 2" in said
    assert "Leave out --pause" in invoke("stop", "tracked", 2, "--pause", storage=storage, expect=2)


def test_each_request_is_returned_once_and_leftover_requests_are_removed(sweep: Recorded) -> None:
    folder = sweep.folder
    assert asked_to_stop(folder) == []
    for _ in range(2):
        folder.stop_trials.mkdir(exist_ok=True)
        for key in "ba":
            (folder.stop_trials / key).touch()
        assert asked_to_stop(folder) == ["a", "b"]
        assert asked_to_stop(folder) == []
    (folder.stop_trials / "a").touch()
    folder.pause_file.touch()
    forget_requests(folder)
    assert not folder.stop_trials.exists()
    assert not folder.pause_file.exists()
