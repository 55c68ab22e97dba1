from typing import Any

import pytest

from search_spaces.settings import Resources
from tune_jobs.doctor.cluster import has_our_code, judge
from tune_jobs.doctor.finding import Finding
from tune_jobs.system.packages import versions_here

HERE = versions_here()
RESOURCES = Resources(cpus_per_trial=2, gpus_per_trial=0.5)


def node(number: int, **changes: Any) -> dict[str, Any]:
    return {
        "node_id": str(number),
        "host": f"host{number}",
        "address": f"10.0.0.{number}",
        "resources": {"CPU": 8.0, "GPU": 1.0, "memory": 1e9},
        "error": None,
        "python": "3.11.7",
        "versions": HERE,
        "code": "abc",
        "sees_storage": True,
        "writes_storage": True,
        "gpus": {"there": 1, "torch": ["H100"]},
        "data": [{"name": "cifar10", "root": "/data", "digests": {"train": "d" * 64}, "error": None}],
        **changes,
    }


def report(*nodes: dict[str, Any], **changes: Any) -> dict[str, Any]:
    storage = {"path": "/sweeps", "error": None, "free_gb": 100.0}
    return {"ray": "2.60.0", "storage": storage, "nodes": list(nodes), "tracker": None, **changes}


def failures(found: list[Finding]) -> list[str]:
    return [str(finding) for finding in found if not finding.ok]


def test_a_cluster_that_has_everything_passes() -> None:
    found = judge(report(node(1), node(2)), RESOURCES)
    assert not failures(found)
    assert "a trial requests 2 CPU, 0.5 GPU; 4 run at a time" in " ".join(map(str, found))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"error": "it does not answer"}, "host2 (10.0.0.2): it does not answer"),
        ({"python": "3.10.1"}, "Python is 3.10.1, but >=3.11 is required (host2 (10.0.0.2))"),
        ({"versions": {**HERE, "optuna": None}}, "optuna is missing (host2 (10.0.0.2))"),
        ({"versions": {**HERE, "optuna": "4.9.0"}}, "optuna is 4.9.0, but <6,>=5 is required"),
        ({"versions": {**HERE, "torch": "2.14.0"}}, "torch differs"),
        ({"sees_storage": False}, "/sweeps on the head is another folder than on host2"),
        ({"writes_storage": False}, "/sweeps is not writable on host2"),
        ({"gpus": {"there": 1, "torch": []}}, "Ray counts 1 GPUs, NVIDIA's driver 1, torch can use 0"),
        (
            {"data": [{"name": "cifar10", "root": "/data", "digests": {"train": "e" * 64}, "error": None}]},
            "different images",
        ),
        ({"data": [{"name": "cifar10", "root": "/data", "digests": None, "error": "no"}]}, "host2 (10.0.0.2): no"),
    ],
)
def test_a_problem_on_one_machine_names_the_machine(changes: dict[str, Any], said: str) -> None:
    [line] = failures(judge(report(node(1), node(2, **changes)), RESOURCES))
    assert said in line


def test_a_trial_that_fits_no_machine_is_refused() -> None:
    small = {"CPU": 1.0, "GPU": 1.0, "memory": 1e9}
    [line] = failures(judge(report(node(1, resources=small)), RESOURCES))
    assert "a trial requests 2 CPU, 0.5 GPU, but the largest machine has 1 CPU, 1 GPU" in line


def test_a_storage_without_space_is_refused() -> None:
    [line] = failures(judge(report(node(1), storage={"path": "/s", "error": None, "free_gb": 0.5}), RESOURCES))
    assert "/s has 0.50 GB free, resources.min_free_gb is 1" in line


def test_the_cluster_has_our_code_only_if_every_machine_has_it() -> None:
    assert has_our_code(report(node(1), node(2)), "abc")
    assert not has_our_code(report(node(1), node(2, code=None)), "abc")
