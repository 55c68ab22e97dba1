from collections.abc import Iterator

import pytest

from search_spaces import load_sweep
from tests.tune_jobs.cluster.head import Head
from tune_jobs.cluster.catalog import Cluster
from tune_jobs.cluster.submission import restart, submit
from tune_jobs.errors import UsageError


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    with Head().serving() as head:
        yield Cluster(head.address)


@pytest.mark.parametrize("uri", ["sqlite:///mlflow.db", "mlruns", "./mlruns"])
def test_a_tracker_in_the_current_folder_is_refused_before_anything_is_sent(
    cluster: Cluster, monkeypatch: pytest.MonkeyPatch, uri: str
) -> None:
    with pytest.raises(UsageError, match=r"is a relative path.*sqlite:////path"):
        submit(load_sweep("quickstart", [f"tracking.uri={uri}"]), cluster)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    with pytest.raises(UsageError, match="is a relative path"):
        restart(cluster, "resume", "mine", [])
