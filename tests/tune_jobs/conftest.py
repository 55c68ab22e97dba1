"""A sweep that only its ledger knows, and a store of MLflow to ship it to."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tune_jobs.shipping import Recorded, recorded
from tests.tune_jobs.stores import new_store


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Recorded]:
    with recorded(tmp_path) as made:
        yield made


@pytest.fixture(scope="session")
def uri(tmp_path_factory: pytest.TempPathFactory) -> str:
    """For every sweep, each in an experiment of its own."""
    return new_store(tmp_path_factory.mktemp("store") / "mlflow.db")
