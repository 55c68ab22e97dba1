"""A sweep on a Ray cluster of two nodes with token authentication, from a second machine's point of view."""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.faults import oracle
from tests.faults.driving import environment
from tests.faults.ray_cluster import Cluster, cluster
from tests.faults.sweeps import EPOCHS, GRID
from tests.system.browser import Browser, MlflowPages, axes
from tests.system.clusters import Laptop, laptop_of, wait_for_epochs
from tests.tune_jobs.servers import MlflowServer, free_port, mlflow_server

LONG = GRID.but(space__data={"limit": 300}, space__training__epochs=24, name="long")
"""Four trials that are still running when somebody looks."""


@pytest.fixture(scope="module")
def tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("tracker"), free_port()) as started:
        yield started


@pytest.fixture(scope="module")
def sweeps(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The cluster's storage, to wait by: a question through its jobs costs seconds of work there."""
    return tmp_path_factory.mktemp("cluster") / "the sweeps"


@pytest.fixture(scope="module")
def made(sweeps: Path, tracker: MlflowServer) -> Iterator[Cluster]:
    folder = sweeps.parent
    known = environment(sweeps, folder, MLFLOW_TRACKING_URI=tracker.uri)
    there = {"CONVNN_STORAGE": str(sweeps), "CONVNN_ADDRESS": "http://the.head.itself:8265"}
    with cluster(folder, {**known, **there}, jobs=True) as started:
        started.add_node(*started.apart())
        yield started


@pytest.fixture(scope="module")
def laptop(made: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    return laptop_of(made, tmp_path_factory.mktemp("laptop") / "my home")


def test_a_sweep_submitted_is_watched_compared_and_fetched(laptop: Laptop, tracker: MlflowServer) -> None:
    file = GRID.but(name="first").write(laptop.home / "my sweep.yaml")
    said = laptop("submit", file)
    assert "trial 1 started" in said
    assert "4 of 4 trials ended" in said

    assert "SUCCEEDED" in laptop("status", "first", "--watch")
    status = laptop.json("status", "first")
    assert status["job"]["status"] == "SUCCEEDED"
    assert not status["running"]
    assert [sweep["name"] for sweep in laptop.json("list")["sweeps"]] == ["first"]
    best = laptop.json("best", "first")["trials"][0]
    assert best["value"] == max(trial["value"] for trial in laptop.json("show", "first")["trials"])
    assert "name: vgg11" in laptop("best", "first", "--yaml")
    assert f"epoch {EPOCHS}/{EPOCHS}" in laptop("logs", "first", best["trial"])
    assert "trial 1 started" in laptop("logs", status["job"]["id"])

    laptop("fetch", "first")
    copy = laptop.home / "convnn-sweeps" / "first"
    record = oracle.read(copy / "ledger.db")
    assert not oracle.damage(copy / "ledger.db")
    assert not oracle.compare_tracker(record, tracker.uri, "first")
    assert laptop.json("show", "first", "--address", "")["trials"] == laptop.json("show", "first")["trials"]
    manifest = json.loads((copy / "manifest.json").read_text())["starts"][0]
    assert manifest["submitted"]["host"] == socket.gethostname()
    assert manifest["submitted"]["command"][1:3] == ["submit", str(file)]


def test_the_link_that_a_submitted_sweep_ends_with_shows_its_trials_to_compare(
    laptop: Laptop, tracker: MlflowServer, window: Browser
) -> None:
    (address,) = re.findall(rf"{tracker.uri}/#\S+", laptop("logs", "first"))
    pages = MlflowPages(window, tracker.uri)
    pages.follow(address)
    window.wait("4 trials", lambda: len(pages.rows()) == 4)
    window.picture("cluster-1-trials")
    window.click("//*[@role='columnheader']//input[@type='checkbox']/..")
    window.click("//button[normalize-space()='Compare']")
    window.sees("Comparing 4 Runs from 1 Experiment", "Parallel Coordinates Plot")
    window.wait("the plot's axes", lambda: {"lambda", "k"} & axes(window) or None)
    window.picture("cluster-2-comparison")


def test_the_report_of_a_sweep_there_is_written_here(laptop: Laptop) -> None:
    page = laptop.home / "page.html"
    laptop("report", "first", "--output", page)
    assert "first" in page.read_text(encoding="utf-8")


def test_a_missing_and_a_wrong_token_are_told_apart(laptop: Laptop) -> None:
    missing = laptop("status", "first", code=4, RAY_AUTH_TOKEN_PATH="", RAY_AUTH_MODE="disabled")
    assert "asks for a token, and none is set" in missing
    wrong = laptop("status", "first", code=4, RAY_AUTH_TOKEN="no-such-token")
    assert "refuses the token from RAY_AUTH_TOKEN" in wrong
    unreadable = laptop("status", "first", code=2, RAY_AUTH_TOKEN_PATH="/nowhere/token")
    assert "/nowhere/token, which cannot be read" in unreadable


def test_killing_the_laptops_end_changes_nothing(laptop: Laptop, sweeps: Path) -> None:
    file = LONG.but(name="alone").write(laptop.home / "alone.yaml")
    following = laptop.start("submit", file)
    wait_for_epochs(sweeps / "alone", 1)
    os.killpg(following.pid, signal.SIGKILL)
    following.communicate()
    assert "4 of 4 trials ended" in laptop("logs", "-f", "alone")


def test_a_sweep_stopped_or_paused_goes_on_to_the_same_numbers(laptop: Laptop, sweeps: Path) -> None:
    laptop("submit", "--detach", LONG.but(name="disturbed").write(laptop.home / "d.yaml"))
    wait_for_epochs(sweeps / "disturbed", 6)
    assert "runs the sweep disturbed" in laptop("resume", "disturbed", code=2)
    assert "disturbed has stopped" in laptop("stop", "disturbed")
    laptop("resume", "disturbed", "--detach")
    wait_for_epochs(sweeps / "disturbed", 24)
    assert "disturbed has stopped" in laptop("stop", "disturbed", "--pause")
    assert not laptop.json("status", "disturbed")["running"]
    laptop("resume", "disturbed", "--set", "budget.cpu_hours=48")
    for name in ("alone", "disturbed"):
        laptop("fetch", name)
    home = laptop.home / "convnn-sweeps"
    records = [oracle.read(home / name / "ledger.db") for name in ("alone", "disturbed")]
    assert not oracle.compare(*records)


def test_a_sweep_goes_on_to_more_trials_there(laptop: Laptop) -> None:
    file = GRID.but(name="more", search={"sampler": "random", "trials": 2, "seed": 3}).write(laptop.home / "m.yaml")
    laptop("submit", file)
    laptop("extend", "more", "--trials", "+2")
    assert len(laptop.json("show", "more")["trials"]) == 4
    assert "no trial has failed" in laptop("retry", "more", "--failed", code=2)


def test_paths_and_values_travel_as_arguments(laptop: Laptop, tmp_path: Path) -> None:
    """None of what a shell would do with these is done."""
    storage = tmp_path / "a b; touch pwned; $(touch pwned) 'c'"
    file = GRID.but(name="careful", space__training__epochs=1).write(laptop.home / "it's a $(touch pwned) file.yaml")
    laptop("submit", file, "--storage", storage)
    assert (storage / "careful" / "ledger.db").exists()
    assert laptop.json("show", "careful")["folder"] == f"{socket.gethostname()}:{storage / 'careful'}"
    shown = laptop("show", "careful", "1")
    assert f"{socket.gethostname()}:{storage / 'careful' / 'trials'}/" in shown
    assert "convnn-record-" not in shown + laptop("show", "careful")
    assert not list(tmp_path.rglob("pwned"))
    assert not list(laptop.home.rglob("pwned"))


def test_what_the_cluster_lacks_is_said_before_anything_starts(laptop: Laptop) -> None:
    file = GRID.but(name="greedy", resources={"cpus_per_trial": 64}).write(laptop.home / "greedy.yaml")
    assert "a trial asks for 64 CPU, the largest machine has 1 CPU" in laptop("submit", file, code=2)
    assert "it must be an absolute path" in laptop("submit", file, "--storage", "sweeps", code=2)
    missing = ("--set", "space.data.root=/nowhere", "--set", "space.data.name=cifar10", "--set", "name=blind")
    assert "cifar10 in /nowhere" in laptop("submit", GRID.write(laptop.home / "g.yaml"), *missing, code=2)
    assert "spelling" not in laptop("submit", laptop.home / "g.yaml", "--set", "space.training.epochz=3", code=2)
    assert not {"greedy", "blind", "grid"} & {job["sweep"] for job in laptop.json("list")["jobs"]}


def test_a_log_stream_that_breaks_is_not_the_end_of_the_job(laptop: Laptop, made: Cluster) -> None:
    file = GRID.but(name="broken").write(laptop.home / "broken.yaml")
    with breaking(made.dashboard, every_s=3) as address:
        said = laptop("submit", file, "--address", address)
    assert said.count("trial 1 started") == 1
    assert "4 of 4 trials ended" in said


def test_a_copy_that_stalls_on_its_way_arrives(laptop: Laptop, made: Cluster) -> None:
    """The job that sends it has long ended by then."""
    with stalling(made.dashboard, after_bytes=300_000, seconds=8) as (address, asked):
        laptop("fetch", "first", "--checkpoints", "--address", address, "--storage", laptop.home / "slowly")
    assert not oracle.damage(laptop.home / "slowly" / "first" / "ledger.db")
    assert list((laptop.home / "slowly" / "first" / "trials").rglob("*.pt"))
    assert len([line for line in asked if line.endswith("/logs/tail")]) == 1
    assert not [line for line in asked if line.endswith("/logs")]


def test_a_head_that_accepts_and_never_answers_is_given_up(laptop: Laptop) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        begun = time.monotonic()
        assert "no Ray cluster answers" in laptop("status", "first", "--address", address, code=4)
        assert time.monotonic() - begun < 60


def test_a_fetched_sweep_is_replaced_only_by_its_own_later_copy(laptop: Laptop) -> None:
    laptop("fetch", "first", "--checkpoints")
    checkpoints = list((laptop.home / "convnn-sweeps" / "first" / "trials").rglob("*.pt"))
    (laptop.home / "convnn-sweeps" / "first" / "notes.md").write_text("mine")
    before = digest(laptop.home / "convnn-sweeps" / "first" / "sweep.yaml")
    laptop("extend", "first", "--address", "", "--trials", "+1", code=2)  # a grid cannot be; nothing has changed
    laptop("fetch", "first")
    assert digest(laptop.home / "convnn-sweeps" / "first" / "sweep.yaml") == before
    assert checkpoints
    assert all(path.exists() for path in checkpoints)
    assert (laptop.home / "convnn-sweeps" / "first" / "notes.md").read_text() == "mine"
    shutil.copytree(laptop.home / "convnn-sweeps" / "first", laptop.home / "convnn-sweeps" / "more")
    refused = laptop("fetch", "more", code=2)
    assert "nothing was copied" in refused


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@contextlib.contextmanager
def breaking(target: str, every_s: float) -> Iterator[str]:
    """A way to the server at `target` that cuts every connection that is older than `every_s`."""

    def connect(client: socket.socket, server: socket.socket) -> None:
        pump(client, server)
        pump(server, client)
        threading.Timer(every_s, cut, (client, server)).start()

    with between(target, connect) as address:
        yield address


@contextlib.contextmanager
def stalling(target: str, after_bytes: int, seconds: float) -> Iterator[tuple[str, list[str]]]:
    """A way to the server at `target` that stands still once on each connection; and the paths that were asked for."""
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
    """An address before the server at `target`; `connect` joins each client to the server."""
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
    """A thread that forwards what comes; `tell` is told each piece first, and how many bytes have come with it."""

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
