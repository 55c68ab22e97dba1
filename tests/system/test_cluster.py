"""A sweep on a Ray cluster of two nodes with token authentication, as seen from a second machine."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.faults import oracle
from tests.faults.bench import ROOT
from tests.faults.driving import environment
from tests.faults.ray_cluster import Cluster
from tests.faults.sweeps import SHORT_GRID
from tests.system.browser import runs_page
from tests.system.clusters import Laptop, wait_for_epochs
from tests.system.ledgers import Shipped
from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.servers import MlflowServer
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded
from tune_jobs.tracking.mlflow.views import COMPLETE

TRIALS, EPOCHS = 2, 36
OF_RAY = ("Running entrypoint for job ", "Runtime env is setting up.")
"""Lines of a job's log that Ray writes, and that are not shown."""

SWEEP = SHORT_GRID.but(name="first", space__data={"limit": 200}, space__training__epochs=EPOCHS)
"""Trials that are still running when they are inspected."""


@dataclass(frozen=True)
class Disturbed:
    """A sweep on the cluster that was left, stopped, paused and resumed."""

    job: str
    """Its last job."""

    log: str
    """That job's log, as followed over a connection that breaks every few seconds."""

    alone: Path
    """The storage of the same sweep without faults."""


@pytest.fixture(scope="module")
def first(laptop: Laptop, made: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Disturbed:
    """Submit the sweep, disturb it, and follow it to its end; train it alone at the same time."""
    place = tmp_path_factory.mktemp("alone")
    file = SWEEP.write(laptop.home / "my sweep.yaml")
    command = [sys.executable, "-m", "tests.faults.alone", str(file), str(place)]
    with subprocess.Popen(command, cwd=ROOT, env=environment(place, place)) as alone:
        following = laptop.start("submit", file)
        wait_for_epochs(made.mark / "first", 1)
        os.killpg(following.pid, signal.SIGKILL)
        following.communicate()
        assert "runs the sweep first" in laptop("resume", "first", code=2)
        assert "first has stopped" in laptop("stop", "first")
        stopped = epochs_of(made, "first")
        laptop("resume", "first", "--detach")
        wait_for_epochs(made.mark / "first", stopped + 4)
        assert "first has stopped" in laptop("stop", "first", "--pause")
        assert stopped < epochs_of(made, "first") < TRIALS * EPOCHS
        resumed = laptop("resume", "first", "--set", "budget.cpu_hours=48", "--detach")
        with breaking(made.dashboard, every_s=3) as address:
            log = laptop("logs", "-f", "first", "--address", address)
    assert alone.returncode == 0
    return Disturbed(resumed.split()[1], log, place)


@pytest.fixture(scope="module")
def shown(first: Disturbed, laptop: Laptop) -> Any:
    """The sweep's record on the cluster after its end."""
    assert first
    return laptop.json("show", "first")


@pytest.fixture(scope="module")
def fetched(first: Disturbed, laptop: Laptop, made: Cluster) -> Path:
    """A copy of the sweep with its checkpoints; the copy stalled, and the job that sent it had ended long before."""
    assert first
    with stalling(made.dashboard, after_bytes=300_000, seconds=8) as (address, asked):
        laptop("fetch", "first", "--checkpoints", "--address", address)
    assert len([line for line in asked if line.endswith("/logs/tail")]) == 1
    assert not [line for line in asked if line.endswith("/logs")]
    return laptop.home / "convnn-sweeps" / "first"


def test_a_log_is_followed_completely_over_a_stream_that_breaks(first: Disturbed, laptop: Laptop) -> None:
    whole = laptop("logs", first.job).splitlines()
    assert first.log.splitlines() == [line for line in whole if not any(words in line for words in OF_RAY)]
    assert first.log.count(f"{TRIALS} of {TRIALS} trials ended") == 1


def test_a_sweep_that_is_left_stopped_and_paused_gives_the_same_numbers(first: Disturbed, made: Cluster) -> None:
    assert not oracle.compare(*(oracle.read(place / "first" / "ledger.db") for place in (first.alone, made.mark)))


def test_a_submitted_sweep_is_watched_and_compared(laptop: Laptop, shown: Any) -> None:
    trial = shown["trials"][0]
    watched, status, listed, file, of_trial = laptop.together(
        ("status", "first", "--watch"),
        ("status", "first", "--json"),
        ("list", "--json"),
        ("best", "first", "--yaml"),
        ("logs", "first", trial["trial"]),
    )
    assert "SUCCEEDED" in watched
    assert json.loads(status)["job"]["status"] == "SUCCEEDED"
    assert not json.loads(status)["running"]
    (sweep,) = json.loads(listed)["sweeps"]
    assert sweep["name"] == "first"
    assert sweep["best"] == max(trial["value"] for trial in shown["trials"])
    assert "name: vgg11" in file
    assert f"epoch {EPOCHS}/{EPOCHS}" in of_trial


def test_a_sweep_is_fetched_completely_even_if_the_copy_stalls(
    laptop: Laptop, cluster_tracker: MlflowServer, fetched: Path, shown: Any
) -> None:
    assert list((fetched / "trials").rglob("*.pt"))
    record = oracle.read(fetched / "ledger.db")
    assert not oracle.damage(fetched / "ledger.db")
    assert not oracle.compare_tracker(record, cluster_tracker.uri, "first")
    assert laptop.json("show", "first", "--address", "")["trials"] == shown["trials"]
    manifest = json.loads((fetched / "manifest.json").read_text())["starts"][0]
    assert manifest["submitted"]["host"] == socket.gethostname()
    assert manifest["submitted"]["command"][1:3] == ["submit", str(laptop.home / "my sweep.yaml")]


def test_the_final_link_of_a_submitted_sweep_opens_the_view_of_its_trials(
    first: Disturbed, cluster_tracker: MlflowServer, made: Cluster
) -> None:
    """`test_mlflow_pages.py` opens this address in a browser, and compares the trials."""
    shipped = Shipped(made.mark, "first", cluster_tracker.uri)
    (address,) = re.findall(rf"{cluster_tracker.uri}/#\S+", first.log)
    assert address == runs_page(shipped.uri, shipped.experiment_id, COMPLETE)
    assert len(shipped.trials()) == TRIALS


def test_a_missing_and_a_wrong_token_have_different_messages(
    made: Cluster, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def refused(code: int, **token: str) -> str:
        for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
            monkeypatch.delenv(name, raising=False)
        for name, value in token.items():
            monkeypatch.setenv(name, value)
        return invoke("status", "first", "--address", made.dashboard, storage=tmp_path, expect=code)

    missing = refused(4, RAY_AUTH_TOKEN_PATH="", RAY_AUTH_MODE="disabled")
    assert "requires a token, and none is set" in missing
    assert "refuses the token from RAY_AUTH_TOKEN" in refused(4, RAY_AUTH_TOKEN="no-such-token")
    assert "/nowhere/token, which cannot be read" in refused(2, RAY_AUTH_TOKEN_PATH="/nowhere/token")


def test_an_exclusion_on_the_cluster_reaches_the_report_and_a_later_copy_and_can_be_undone(
    laptop: Laptop, fetched: Path, shown: Any
) -> None:
    checkpoints = list((fetched / "trials").rglob("*.pt"))
    (fetched / "notes.md").write_text("mine")
    assert "trial 2 of first is excluded (wrong images)" in laptop("exclude", "first", 2, "--why", "wrong images")
    page = laptop.home / "page.html"
    laptop("report", "first", "--output", page)
    assert "wrong images" in page.read_text(encoding="utf-8")
    laptop("fetch", "first")
    with contextlib.closing(Ledger(fetched / "ledger.db")) as copy:
        numbers = {trial.run_key: trial.number for trial in copy.trials()}
        assert {numbers[key]: asked.why for key, asked in excluded(copy.requests()).items()} == {2: "wrong images"}
    assert checkpoints
    assert all(path.exists() for path in checkpoints)
    assert (fetched / "notes.md").read_text() == "mine"
    assert "its trial 1 is complete" in laptop("stop", "first", 1, code=2)
    assert "is included again" in laptop("exclude", "first", 2, "--undo")
    assert laptop.json("show", "first") == shown


def epochs_of(made: Cluster, sweep: str) -> int:
    """Return the total number of epochs of its trials, from its folder on the cluster."""
    return len(oracle.read(made.mark / sweep / "ledger.db").recorded)


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
