"""`convnn doctor` on setups that are really broken: each problem is one line, with its fix."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.ray_cluster import Cluster
from tests.faults.sweeps import GRID
from tests.system.clusters import Laptop
from tests.tune_jobs.servers import MlflowServer, free_port, mlflow_server


def failing(said: str) -> dict[str, str]:
    """Return the lines of failing checks, by check."""
    found = {line.split()[1]: line for line in said.splitlines() if line.startswith("FAIL")}
    for line in found.values():
        print(line)
    return found


def test_a_read_only_storage_and_a_tracker_that_refuses_its_host_name_are_reported(
    laptop: Laptop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SERVER_ALLOWED_HOSTS", "mlflow.example:5000")
    with mlflow_server(laptop.home, free_port()) as tracker:
        for where, problem in (
            (("--address", ""), "/proc is not writable"),
            ((), "/proc/sweeps cannot be used on the head"),
        ):
            command = ("doctor", *where, "--storage", "/proc/sweeps")
            lines = failing(laptop(*command, code=1, MLFLOW_TRACKING_URI=tracker.uri))
            assert problem in lines["storage"]
            assert "refuses requests for the host 127.0.0.1" in lines["tracker"]
            assert f"--allowed-hosts {tracker.uri.removeprefix('http://')}" in lines["tracker"]


def test_a_local_tracker_is_reported(laptop: Laptop) -> None:
    assert "FAIL" not in laptop("doctor", "--address", "", MLFLOW_TRACKING_URI="sqlite:///mine.db")
    said = laptop("doctor", code=1, MLFLOW_TRACKING_URI="sqlite:///mine.db")
    assert "'sqlite:///mine.db' is a relative path" in said


def test_a_missing_wrong_or_unreadable_token_is_reported(laptop: Laptop) -> None:
    missing = laptop("doctor", code=1, RAY_AUTH_TOKEN_PATH="", RAY_AUTH_MODE="disabled")
    assert "requires a token, and none is set" in failing(missing)["cluster"]
    assert "refuses the token" in failing(laptop("doctor", code=1, RAY_AUTH_TOKEN="another"))["cluster"]
    torn = failing(laptop("doctor", code=1, RAY_AUTH_TOKEN="s3cr3t\ns3cr3t"))["cluster"]
    assert "RAY_AUTH_TOKEN contains whitespace" in torn
    assert "s3cr3t" not in torn
    unreadable = laptop("doctor", code=1, RAY_AUTH_TOKEN_PATH=str(laptop.home))
    assert "cannot be read: Is a directory" in failing(unreadable)["cluster"]


def test_an_address_without_a_ray_dashboard_is_reported(laptop: Laptop, cluster_tracker: MlflowServer) -> None:
    nothing = laptop("doctor", "--address", f"http://127.0.0.1:{free_port()}", code=1)
    assert "no Ray cluster answers" in failing(nothing)["cluster"]
    other = cluster_tracker.uri
    assert "check that the address is right" in failing(laptop("doctor", "--address", other, code=1))["cluster"]


@pytest.fixture
def broken(made: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Return a storage; a third machine of the cluster has a different folder at its path, and a different Optuna."""
    folder = tmp_path_factory.mktemp("broken")
    storage = folder / "sweeps"
    storage.mkdir()
    wrong = folder / "site" / "optuna-4.1.0.dist-info"
    wrong.mkdir(parents=True)
    (wrong / "METADATA").write_text("Metadata-Version: 2.1\nName: optuna\nVersion: 4.1.0\n")
    paths = f"{wrong.parent}:{made.environment['PYTHONPATH']}"
    node = made.add_node(*made.apart(storage), PYTHONPATH=paths)
    yield storage
    node.kill()


def test_each_problem_of_one_machine_is_reported_in_one_line(laptop: Laptop, broken: Path) -> None:
    file = GRID.but(resources={"cpus_per_trial": 16}).write(laptop.home / "grid.yaml")
    data = ("--set", "space.data.name=cifar10", "--set", "space.data.root=/nowhere")
    dead = ("--set", f"tracking.uri=http://127.0.0.1:{free_port()}")
    lines = failing(laptop("doctor", file, "--storage", broken, *data, *dead, code=1))
    assert list(lines) == ["versions", "storage", "data", "resources", "tracker"]
    assert "optuna is 4.1.0, but <6,>=5 is required" in lines["versions"]
    assert "127.0." in lines["versions"]
    assert "on the head is another folder than on" in lines["storage"]
    assert "--storage" in lines["storage"]
    assert "cifar10 in /nowhere" in lines["data"]
    assert "a trial requests 16 CPU, but the largest machine has 1 CPU" in lines["resources"]
    assert "Connection refused" in lines["tracker"]
