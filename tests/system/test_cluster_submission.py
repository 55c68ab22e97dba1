"""What a submission uploads, and what prevents its start, on a Ray cluster with token authentication."""

import socket
from pathlib import Path

from tests.faults.ray_cluster import Cluster
from tests.faults.sweeps import GRID
from tests.system.clusters import Laptop


def test_paths_and_values_are_passed_literally_and_the_sweep_is_extended(
    laptop: Laptop, made: Cluster, tmp_path: Path
) -> None:
    """A shell would expand these values; here it must not."""
    storage = tmp_path / "a b; touch pwned; $(touch pwned) 'c'"
    sweep = GRID.but(name="more", space__training__epochs=1, search={"sampler": "random", "trials": 2, "seed": 3})
    file = sweep.write(laptop.home / "it's a $(touch pwned) file.yaml")
    laptop("submit", file, "--storage", storage)
    assert (storage / "more" / "ledger.db").exists()
    trial, trials = laptop.together(("show", "more", "1"), ("show", "more"))
    assert f"{socket.gethostname()}:{storage / 'more' / 'trials'}/" in trial
    assert "convnn-record-" not in trial + trials
    laptop("extend", "more", "--trials", "+2")
    found = laptop.json("show", "more")
    assert len(found["trials"]) == 4
    assert found["folder"] == f"{socket.gethostname()}:{storage / 'more'}"
    assert "no trial has failed" in laptop("retry", "more", "--failed", code=2)
    assert not list(tmp_path.rglob("pwned"))
    assert not list(laptop.home.rglob("pwned"))
    assert not list(made.mark.rglob("pwned"))


def test_everything_the_cluster_lacks_is_reported_before_a_start(laptop: Laptop, made: Cluster) -> None:
    file = GRID.but(name="greedy", resources={"cpus_per_trial": 64}).write(laptop.home / "greedy.yaml")
    missing = ("--set", "space.data.root=/nowhere", "--set", "space.data.name=cifar10", "--set", "name=blind")
    said, relative, misspelt = laptop.together(
        ("submit", file, *missing),
        ("submit", file, "--storage", "sweeps"),
        ("submit", file, "--set", "space.training.epochz=3"),
        code=2,
    )
    assert "a trial requests 64 CPU, but the largest machine has 1 CPU" in said
    assert "cifar10 in /nowhere" in said
    assert "it must be an absolute path" in relative
    assert "spelling" not in misspelt
    assert not {"blind", "greedy"} & {job["sweep"] for job in laptop.json("list")["jobs"]}
    assert not (made.mark / "blind").exists()
