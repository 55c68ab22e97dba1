"""A sweep that exists only in its ledger, and an MLflow store to ship it to."""

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
    """An MLflow store for all sweeps; each has its own experiment."""
    return new_store(tmp_path_factory.mktemp("store") / "mlflow.db")
