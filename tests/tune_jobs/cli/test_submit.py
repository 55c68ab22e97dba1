from pathlib import Path

from tests.tune_jobs.cli.invoking import invoke
from tests.tune_jobs.cluster.head import Head
from tests.tune_jobs.servers import free_port


def test_the_file_is_checked_before_the_cluster_is_contacted(tmp_path: Path) -> None:
    address = f"http://127.0.0.1:{free_port()}"
    said = invoke("submit", "quickstar", "--address", address, storage=tmp_path, expect=2)
    assert "did you mean 'quickstart'?" in said
    said = invoke("submit", "quickstart", "--address", address, storage=tmp_path, expect=4)
    assert f"no Ray cluster answers at {address}" in said


def test_a_smoke_test_is_submitted_under_its_own_name(tmp_path: Path) -> None:
    metadata = {"convnn": "command", "sweep": "quickstart-smoke", "command": "run", "storage": ""}
    running = {"type": "SUBMISSION", "submission_id": "raysubmit_1", "status": "RUNNING", "entrypoint": "x"}
    words = ("submit", "quickstart", "--smoke", "--set", "search.trials=3")
    with Head(jobs=[{**running, "metadata": metadata}]).serving() as head:
        said = invoke(*words, "--address", head.address, storage=tmp_path, expect=2)
    assert "job raysubmit_1 runs the sweep quickstart-smoke" in said


def test_the_address_must_be_a_dashboard(tmp_path: Path) -> None:
    said = invoke("submit", "quickstart", "--address", "head:6379", storage=tmp_path, expect=2)
    assert "--address must be the URL of the cluster's dashboard, as in http://head:8265, got 'head:6379'" in said
