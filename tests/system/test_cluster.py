"""A sweep on a Ray cluster of two nodes with token authentication, as seen from a second machine."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import oracle
from tests.faults.bench import ROOT
from tests.faults.driving import environment
from tests.faults.ray_cluster import Cluster
from tests.faults.sweeps import SHORT_GRID
from tests.system.browser import Browser, MlflowPages, axes
from tests.system.clusters import Laptop, wait_for_epochs
from tests.tune_jobs.servers import MlflowServer

TRIALS, EPOCHS, MANY = 2, 4, 36
FIRST = SHORT_GRID.but(name="first", space__training__epochs=EPOCHS)
LONG = SHORT_GRID.but(name="disturbed", space__data={"limit": 200}, space__training__epochs=MANY)
"""Trials that are still running when they are inspected."""


@pytest.fixture(scope="module")
def first(laptop: Laptop, made: Cluster) -> str:
    """The output of submitting a sweep while its log stream breaks every few seconds."""
    file = FIRST.write(laptop.home / "my sweep.yaml")
    with breaking(made.dashboard, every_s=3) as address:
        return laptop("submit", file, "--address", address)


def test_a_log_stream_that_breaks_is_not_the_end_of_the_job(first: str) -> None:
    assert first.count("trial 1 started") == 1
    assert f"{TRIALS} of {TRIALS} trials ended" in first


@pytest.mark.usefixtures("first")
def test_a_submitted_sweep_is_watched_and_compared(laptop: Laptop) -> None:
    watched, status, listed, best, shown, file = laptop.together(
        ("status", "first", "--watch"),
        ("status", "first", "--json"),
        ("list", "--json"),
        ("best", "first", "--json"),
        ("show", "first", "--json"),
        ("best", "first", "--yaml"),
    )
    assert "SUCCEEDED" in watched
    assert json.loads(status)["job"]["status"] == "SUCCEEDED"
    assert not json.loads(status)["running"]
    assert [sweep["name"] for sweep in json.loads(listed)["sweeps"]] == ["first"]
    (trial,) = json.loads(best)["trials"]
    assert trial["value"] == max(trial["value"] for trial in json.loads(shown)["trials"])
    assert "name: vgg11" in file
    of_trial, of_job = laptop.together(("logs", "first", trial["trial"]), ("logs", json.loads(status)["job"]["id"]))
    assert f"epoch {EPOCHS}/{EPOCHS}" in of_trial
    assert "trial 1 started" in of_job


@pytest.mark.usefixtures("first")
def test_a_sweep_is_fetched_completely_even_if_the_copy_stalls(
    laptop: Laptop, cluster_tracker: MlflowServer, made: Cluster
) -> None:
    """The job that sends it has ended long before."""
    with stalling(made.dashboard, after_bytes=300_000, seconds=8) as (address, asked):
        laptop("fetch", "first", "--checkpoints", "--address", address)
    assert len([line for line in asked if line.endswith("/logs/tail")]) == 1
    assert not [line for line in asked if line.endswith("/logs")]
    copy = laptop.home / "convnn-sweeps" / "first"
    assert list((copy / "trials").rglob("*.pt"))
    record = oracle.read(copy / "ledger.db")
    assert not oracle.damage(copy / "ledger.db")
    assert not oracle.compare_tracker(record, cluster_tracker.uri, "first")
    assert laptop.json("show", "first", "--address", "")["trials"] == laptop.json("show", "first")["trials"]
    manifest = json.loads((copy / "manifest.json").read_text())["starts"][0]
    assert manifest["submitted"]["host"] == socket.gethostname()
    assert manifest["submitted"]["command"][1:3] == ["submit", str(laptop.home / "my sweep.yaml")]


@pytest.mark.usefixtures("first")
def test_the_final_link_of_a_submitted_sweep_compares_its_trials(
    laptop: Laptop, cluster_tracker: MlflowServer, window: Browser
) -> None:
    (address,) = re.findall(rf"{cluster_tracker.uri}/#\S+", laptop("logs", "first"))
    pages = MlflowPages(window, cluster_tracker.uri)
    pages.follow(address)
    window.wait("its trials", lambda: len(pages.rows()) == TRIALS)
    window.picture("cluster-1-trials")
    window.click("//*[@role='columnheader']//input[@type='checkbox']/..")
    window.click("//button[normalize-space()='Compare']")
    window.sees(f"Comparing {TRIALS} Runs from 1 Experiment", "Parallel Coordinates Plot")
    window.wait("the plot's axes", lambda: {"lambda", "k"} & axes(window) or None)
    window.picture("cluster-2-comparison")


@pytest.mark.usefixtures("first")
def test_the_report_of_a_sweep_on_the_cluster_is_written_locally(laptop: Laptop) -> None:
    page = laptop.home / "page.html"
    laptop("report", "first", "--output", page)
    assert "first" in page.read_text(encoding="utf-8")


def test_a_missing_and_a_wrong_token_have_different_messages(laptop: Laptop) -> None:
    missing = laptop("status", "first", code=4, RAY_AUTH_TOKEN_PATH="", RAY_AUTH_MODE="disabled")
    assert "requires a token, and none is set" in missing
    wrong = laptop("status", "first", code=4, RAY_AUTH_TOKEN="no-such-token")
    assert "refuses the token from RAY_AUTH_TOKEN" in wrong
    unreadable = laptop("status", "first", code=2, RAY_AUTH_TOKEN_PATH="/nowhere/token")
    assert "/nowhere/token, which cannot be read" in unreadable


def test_a_sweep_that_is_left_stopped_and_paused_gives_the_same_numbers(
    laptop: Laptop, made: Cluster, tmp_path: Path
) -> None:
    file = LONG.write(laptop.home / "d.yaml")
    command = [sys.executable, "-m", "tests.faults.alone", str(file), str(tmp_path)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(tmp_path, tmp_path)) as alone:
        following = laptop.start("submit", file)
        wait_for_epochs(made.mark / "disturbed", 1)
        os.killpg(following.pid, signal.SIGKILL)
        following.communicate()
        assert "runs the sweep disturbed" in laptop("resume", "disturbed", code=2)
        assert "disturbed has stopped" in laptop("stop", "disturbed")
        stopped = epochs_of(made, "disturbed")
        laptop("resume", "disturbed", "--detach")
        wait_for_epochs(made.mark / "disturbed", stopped + 4)
        assert "disturbed has stopped" in laptop("stop", "disturbed", "--pause")
        assert stopped < epochs_of(made, "disturbed") < TRIALS * MANY
        assert not laptop.json("status", "disturbed")["running"]
        laptop("resume", "disturbed", "--set", "budget.cpu_hours=48", "--detach")
        assert f"{TRIALS} of {TRIALS} trials ended" in laptop("logs", "-f", "disturbed")
    assert alone.returncode == 0
    assert not oracle.compare(*(oracle.read(place / "disturbed" / "ledger.db") for place in (tmp_path, made.mark)))


@pytest.mark.usefixtures("first")
def test_a_fetched_sweep_is_replaced_only_by_its_own_later_copy(laptop: Laptop) -> None:
    home = laptop.home / "convnn-sweeps"
    laptop("fetch", "first", "--checkpoints")
    checkpoints = list((home / "first" / "trials").rglob("*.pt"))
    (home / "first" / "notes.md").write_text("mine")
    before = digest(home / "first" / "sweep.yaml")
    laptop(
        "extend", "first", "--address", "", "--trials", "+1", code=2
    )  # a grid cannot be extended; nothing has changed
    laptop("fetch", "first")
    assert digest(home / "first" / "sweep.yaml") == before
    assert checkpoints
    assert all(path.exists() for path in checkpoints)
    assert (home / "first" / "notes.md").read_text() == "mine"
    shutil.copytree(home / "first", home / "disturbed")  # another sweep under the same name
    refused = laptop("fetch", "disturbed", code=2)
    assert "nothing was copied" in refused


def epochs_of(made: Cluster, sweep: str) -> int:
    """Return the total number of epochs of its trials, from its folder on the cluster."""
    return len(oracle.read(made.mark / sweep / "ledger.db").recorded)


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def breaking(target: str, every_s: float) -> Iterator[str]:
    """Forward to the server at `target`, and cut every connection after `every_s`."""

    def connect(client: socket.socket, server: socket.socket) -> None:
        pump(client, server)
        pump(server, client)
        threading.Timer(every_s, cut, (client, server)).start()

    with between(target, connect) as address:
        yield address


@contextlib.contextmanager
def stalling(target: str, after_bytes: int, seconds: float) -> Iterator[tuple[str, list[str]]]:
    """Forward to the server at `target`, and stall once on each connection; also yield the requested paths."""
    asked: list[str] = []

    def note(content: bytes, _: int) -> None:
        asked.extend(line.split()[1].decode() for line in content.split(b"\r\n") if line.endswith(b" HTTP/1.1"))

    def stall(content: bytes, passed: int) -> None:
        if passed - len(content) < after_bytes <= passed:
            time.sleep(seconds)

    def connect(client: socket.socket, server: socket.socket) -> None:
        ways = pump(client, server, note), pump(server, client, stall)
        threading.Thread(target=close, args=(ways, client, server), daemon=True).start()

    with between(target, connect) as address:
        yield address, asked


@contextlib.contextmanager
def between(target: str, connect: Callable[[socket.socket, socket.socket], None]) -> Iterator[str]:
    """Yield an address in front of the server at `target`; `connect` joins each client to the server."""
    host, port = target.removeprefix("http://").split(":")
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                while True:
                    client, _ = listening.accept()
                    connect(client, socket.create_connection((host, int(port))))

        threading.Thread(target=serve, daemon=True).start()
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"


def pump(
    source: socket.socket, target: socket.socket, tell: Callable[[bytes, int], None] = lambda *_: None
) -> threading.Thread:
    """Return a thread that forwards data; `tell` is called first with each piece and the number of bytes so far."""

    def forward() -> None:
        passed = 0
        with contextlib.suppress(OSError):
            while content := source.recv(65536):
                passed += len(content)
                tell(content, passed)
                target.sendall(content)
        with contextlib.suppress(OSError):
            target.shutdown(socket.SHUT_WR)

    thread = threading.Thread(target=forward, daemon=True)
    thread.start()
    return thread


def close(ways: tuple[threading.Thread, ...], *ends: socket.socket) -> None:
    for way in ways:
        way.join()
    cut(*ends)


def cut(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
        end.close()


@pytest.mark.usefixtures("first")
def test_a_trial_on_the_cluster_is_excluded_and_included_again(laptop: Laptop) -> None:
    before = laptop.json("show", "first")
    assert "trial 2 of first is excluded (wrong images)" in laptop("exclude", "first", 2, "--why", "wrong images")
    left_out = {row["trial"]: row["excluded"] for row in laptop.json("show", "first")["trials"]}
    assert [trial for trial, why in left_out.items() if why == "wrong images"] == [2]
    assert "its trial 1 is complete" in laptop("stop", "first", 1, code=2)
    assert "is included again" in laptop("exclude", "first", 2, "--undo")
    assert laptop.json("show", "first") == before
