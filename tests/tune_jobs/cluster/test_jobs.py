import socket
from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.cluster.head import Head
from tune_jobs.cluster.jobs import Jobs
from tune_jobs.errors import ClusterError

pytestmark = pytest.mark.filterwarnings("ignore:ssl=None is deprecated:DeprecationWarning")  # Ray's own call


def test_a_server_that_is_not_ray_is_reported() -> None:
    with Head().serving() as head, pytest.raises(ClusterError, match="answers with HTTP 404"):
        Jobs(f"{head.address}/elsewhere")


@pytest.mark.parametrize(("command", "code"), [(["status", "first"], 4), (["doctor"], 1)])
def test_a_head_that_accepts_and_never_answers_is_given_up(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, command: list[str], code: int
) -> None:
    monkeypatch.setattr("tune_jobs.cluster.jobs.CALL_S", 0.5)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        said = invoke(*command, "--address", address, storage=tmp_path, expect=code)
    assert "no Ray cluster answers" in said
    assert "timed out" in said
