"""Fixtures of the system tests: servers, a cluster, a sweep, a browser. A missing program fails; nothing is skipped.

Files of one group run in one process, which has one of each.
"""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

from tests.faults.driving import environment
from tests.faults.ray_cluster import Cluster, cluster
from tests.faults.sweeps import GRID
from tests.system.browser import Browser, browser
from tests.system.clusters import Laptop, laptop_of
from tests.system.ledgers import Shipped, begin, end
from tests.system.postgres import Postgres, postgres
from tests.tune_jobs.servers import MlflowServer, free_port, mlflow_server

GROUPS = {
    "cluster": ("test_cluster_submission.py", "test_doctor.py"),  # test_doctor.py leaves a dead machine behind
    "tracker": ("test_mlflow_pages.py", "test_pictures.py", "test_postgres.py", "test_ui.py"),
}
"""Groups of files that share fixtures which other files do not use."""

SWEEP = GRID.but(
    name="digits-hybrid",
    space__model__layer={"lambda": {"choice": [0, 0.25, 0.5]}, "k": {"choice": [3, 4]}},
    space__training__epochs=5,
)
"""Ten trials."""


FIRST = ("test_cluster.py", *GROUPS["tracker"], "test_docs.py")
"""The slowest files start first, so that no process waits for them alone at the end."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Order the slowest files first, and keep the order of the others."""
    items.sort(key=lambda item: FIRST.index(item.path.name) if item.path.name in FIRST else len(FIRST))


class ByGroup(LoadScopeScheduling):  # type: ignore[misc]
    """Gives each process a group of files, or one file."""

    def _split_scope(self, nodeid: str) -> str:
        file = nodeid.partition("::")[0].rpartition("/")[2]
        return next((name for name, files in GROUPS.items() if file in files), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> ByGroup:
    """Replace the scheduler that `--dist` names."""
    return ByGroup(config, log)


@pytest.fixture(scope="session")
def database_server() -> Iterator[Postgres]:
    """PostgreSQL; each test creates a separate database in it."""
    with postgres() as started:
        yield started


@pytest.fixture(scope="session")
def tracker(database_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow on PostgreSQL; it also serves its artifacts."""
    store = database_server.database("tracker")
    with mlflow_server(tmp_path_factory.mktemp("tracker"), free_port(), store, workers=2) as started:
        yield started


@pytest.fixture(scope="session")
def sweep(tracker: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A sweep that was synced to the tracker while it ran."""
    storage = tmp_path_factory.mktemp("sweeps")
    end(begin(storage, SWEEP, tracker.uri))
    return Shipped(storage, SWEEP.name, tracker.uri)


@pytest.fixture(scope="session")
def cluster_tracker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow for the cluster's machines."""
    with mlflow_server(tmp_path_factory.mktemp("cluster-tracker"), free_port()) as started:
        yield started


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory, cluster_tracker: MlflowServer) -> Iterator[Cluster]:
    """A cluster of two machines."""
    folder = tmp_path_factory.mktemp("cluster")
    known = environment(folder / "the sweeps", folder, MLFLOW_TRACKING_URI=cluster_tracker.uri)
    there = {"CONVNN_STORAGE": str(folder / "the sweeps"), "CONVNN_ADDRESS": "http://the.head.itself:8265"}
    with cluster(folder, {**known, **there}, jobs=True) as started:
        started.add_node(*started.apart())
        yield started


@pytest.fixture(scope="session")
def laptop(made: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Laptop:
    """A laptop that uses that cluster."""
    return laptop_of(made, tmp_path_factory.mktemp("laptop") / "my home")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder for pictures of pages: CONVNN_PICTURES, else a temporary folder."""
    given = os.environ.get("CONVNN_PICTURES")
    return Path(given) if given else tmp_path_factory.mktemp("pictures")


@pytest.fixture(scope="session")
def opened(pictures: Path) -> Iterator[Browser]:
    """A browser."""
    with browser(pictures) as started:
        yield started


@pytest.fixture
def window(opened: Browser) -> Iterator[Browser]:
    """The browser's only window, without earlier state; the test fails if it requests anything beyond this machine."""
    yield opened
    assert opened.requests_beyond_loopback() == []
    opened.forget()
