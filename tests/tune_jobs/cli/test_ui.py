import contextlib
import json
import socket
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from mlflow import MlflowClient

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.servers import MlflowServer, free_port, mlflow_server
from tests.tune_jobs.shipping import recorded
from tests.tune_jobs.stores import new_store
from tune_jobs.cli.ui import _tunnel
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import lease
from tune_jobs.tracking.address import sqlite_uri

FILE = "name: {name}\nspace: {{model: {{name: vgg11, layer: {{kind: conv2d}}}}}}\n"


def made(place: Path, name: str, more: str = "") -> SweepFolder:
    """Make a sweep with one trial that MLflow does not have yet."""
    with recorded(place, name) as sweep:
        sweep.folder.spec.write_text(FILE.format(name=name) + more)
        sweep.attempt([1, 2], "complete")
    return sweep.folder


def test_without_a_sweep_the_first_command_is_named(tmp_path: Path) -> None:
    assert "To create one: convnn run quickstart" in invoke("ui", storage=tmp_path, expect=2)
    assert "there is no sweep 'mine'" in invoke("ui", "mine", storage=tmp_path, expect=2)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    with mlflow_server(tmp_path_factory.mktemp("server"), free_port()) as started:
        yield started


def test_a_sweep_on_a_server_is_opened_there(tmp_path: Path, server: MlflowServer) -> None:
    folder = made(tmp_path, "mine", f"tracking: {{uri: '{server.uri}'}}\n")
    told = invoke_json("ui", "mine", storage=folder.path.parent)
    number = MlflowClient(server.uri).get_experiment_by_name("mine").experiment_id
    assert told == {
        "page": f"{server.uri}/#/experiments/{number}/runs?workflowType=machine_learning&viewStateShareKey=complete",
        "sweeps": ["mine"],
    }
    _compares_two_sweeps_and_lists_all(tmp_path, server, number)
    _refuses_two_trackers(tmp_path, server)


def _compares_two_sweeps_and_lists_all(place: Path, server: MlflowServer, number: str) -> None:
    folder = made(place, "more", f"tracking: {{uri: '{server.uri}'}}\n")
    both = invoke_json("ui", "mine", "more", storage=folder.path.parent)
    other = MlflowClient(server.uri).get_experiment_by_name("more").experiment_id
    assert both["sweeps"] == ["mine", "more"]
    page, _, query = both["page"].partition("?")
    assert page == f"{server.uri}/#/compare-experiments/s"
    assert sorted(json.loads(parse_qs(query)["experiments"][0])) == sorted([number, other])
    assert invoke_json("ui", storage=folder.path.parent) == {
        "page": f"{server.uri}/#/experiments",
        "sweeps": ["mine", "more"],
    }


def _refuses_two_trackers(place: Path, server: MlflowServer) -> None:
    other = made(place, "other")
    store = other.path.parent / "mlflow.db"
    new_store(store)
    said = invoke("ui", "mine", "other", storage=store.parent, expect=2)
    assert "MLflow shows one tracker at a time; name sweeps of one of them:" in said
    assert f"  mine: {server.uri}\n  other: {sqlite_uri(store)}" in said


def test_a_used_port_is_reported_with_the_way_out(tmp_path: Path) -> None:
    folder = made(tmp_path, "mine")
    new_store(folder.path.parent / "mlflow.db")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        said = invoke("ui", "mine", "--port", port, storage=folder.path.parent, expect=4)
    assert f"port {port} of 127.0.0.1 cannot be used: Address already in use; choose another with --port" in said


def test_an_unreadable_store_is_reported_with_the_way_out(tmp_path: Path) -> None:
    folder = made(tmp_path, "mine")
    store = folder.path.parent / "mlflow.db"
    new_store(store)
    invoke("sync", "mine", storage=store.parent)
    with contextlib.closing(sqlite3.connect(store)) as db:
        db.execute("DROP TABLE experiments")
    with lease(folder.path):  # as its driver does: else shipping is tried first, for a long time
        said = invoke("ui", "mine", "--no-browser", storage=store.parent, expect=1)
    last = said.splitlines()[-1]
    assert last == (
        f"convnn: {store} cannot be read: no such table: experiments; stop the process that writes it, or move the "
        "file away: it is created again"
    )


def test_over_ssh_the_command_that_forwards_the_port_is_printed() -> None:
    come = {"SSH_CONNECTION": "10.0.0.7 51234 10.0.0.9 22"}
    assert (
        _tunnel("http://127.0.0.1:5001", come) == "On your own machine, first run: ssh -L 5001:127.0.0.1:5001 10.0.0.9"
    )
    assert _tunnel("http://127.0.0.1:5001", {}) is None


def test_a_problem_of_one_sweep_does_not_affect_another(tmp_path: Path, server: MlflowServer) -> None:
    folder = made(tmp_path, "whole", f"tracking: {{uri: '{server.uri}'}}\n")
    broken = made(tmp_path, "broken")
    broken.spec.unlink()
    said = invoke("ui", "--no-browser", storage=folder.path.parent)
    assert f"broken: {broken.spec} is missing" in said
    number = MlflowClient(server.uri).get_experiment_by_name("whole").experiment_id
    assert f"{server.uri}/#/experiments/{number}/runs" in said
