"""Errors before anything is copied; copies themselves are tested on a real cluster, and in `test_transfer`."""

from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.servers import free_port


def test_a_cluster_that_does_not_answer_leaves_nothing_behind(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    said = invoke("fetch", "mine", "--address", address, storage=tmp_path / "sweeps", expect=4)
    assert f"no Ray cluster answers at {address}" in said
    assert list(tmp_path.iterdir()) == []
