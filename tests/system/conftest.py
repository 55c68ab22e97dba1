"""What the system tests share: servers, a sweep, a window. What is missing fails a test; nothing is skipped."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.sweeps import GRID
from tests.system.browser import Browser, browser
from tests.system.ledgers import Shipped
from tests.system.postgres import Postgres, postgres
from tests.tune_jobs.program import convnn
from tests.tune_jobs.servers import MlflowServer, free_port, mlflow_server

SWEEP = GRID.but(
    name="digits-hybrid",
    space__data={"limit": 400},
    space__model__layer={"lambda": {"choice": [0, 0.25, 0.5]}, "k": {"choice": [3, 4]}},
    space__training__epochs=5,
)
"""Ten trials, each of which learns something."""


@pytest.fixture(scope="session")
def database_server() -> Iterator[Postgres]:
    """PostgreSQL; make a database of your own in it."""
    with postgres() as started:
        yield started


@pytest.fixture(scope="session")
def tracker(database_server: Postgres, tmp_path_factory: pytest.TempPathFactory) -> Iterator[MlflowServer]:
    """MLflow on PostgreSQL, which also serves its artifacts."""
    store = database_server.database("tracker")
    with mlflow_server(tmp_path_factory.mktemp("tracker"), free_port(), store, workers=2) as started:
        yield started


@pytest.fixture(scope="session")
def sweep(tracker: MlflowServer, tmp_path_factory: pytest.TempPathFactory) -> Shipped:
    """A sweep that `convnn run` trained, and shipped to the tracker meanwhile."""
    storage = tmp_path_factory.mktemp("sweeps")
    file = SWEEP.write(storage / "sweep.yaml")
    convnn("run", file, storage=storage, MLFLOW_TRACKING_URI=tracker.uri)
    return Shipped(storage, SWEEP.name, tracker.uri)


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where pictures of the pages are kept: CONVNN_PICTURES, else a folder of the tests."""
    given = os.environ.get("CONVNN_PICTURES")
    return Path(given) if given else tmp_path_factory.mktemp("pictures")


@pytest.fixture
def window(pictures: Path) -> Iterator[Browser]:
    """A window of a new browser, whose pages asked for nothing beyond this machine."""
    with browser(pictures) as opened:
        yield opened
        assert opened.requests_beyond_loopback() == []
