"""What a submission uploads, and what prevents its start, on a Ray cluster with token authentication."""

import os
import socket
from pathlib import Path

import pytest
import requests

from tests.faults.ray_cluster import Cluster
from tests.faults.sweeps import Sweep
from tests.installing import edited, install
from tests.system.clusters import Laptop

LAYER = {"kind": "grouped", "groups": 2, "shuffle": False}
PLUGGED = Sweep(
    {
        "name": "more",
        "space": {
            "data": {"name": "stripes"},
            "model": {"width": 0.0625, "classifier_width": 8, "layer": LAYER},
            "training": {"lr": {"log_uniform": [1e-4, 1e-2]}, "epochs": 1},
        },
        "search": {"sampler": "random", "trials": 1, "seed": 3},
        "stopping": {"kind": "behind_best", "margin": 1.0},
    }
)
"""A sweep with a data set, a layer and a stopping rule of a plugin."""


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder in which the plugin is installed on the laptop; the cluster does not have it."""
    return install(tmp_path_factory.mktemp("plugin") / "site")


@pytest.fixture(scope="module")
def plugged(laptop: Laptop, site: Path) -> Laptop:
    """The laptop with the plugin."""
    return Laptop(laptop.home, {**laptop.environment, "PYTHONPATH": f"{site}{os.pathsep}{os.environ['PYTHONPATH']}"})


def test_everything_the_cluster_lacks_is_reported_before_a_start(plugged: Laptop, made: Cluster) -> None:
    file = PLUGGED.but(name="greedy", resources={"cpus_per_trial": 64}).write(plugged.home / "greedy.yaml")
    images = ("--set", "space.data.name=cifar10", "--set", "space.data.root=/nowhere")
    said = plugged("submit", file, *images, "--storage", "sweeps", code=2)
    assert "a trial requests 64 CPU, but the largest machine has 1 CPU" in said
    assert "cifar10 in /nowhere" in said
    assert "it must be an absolute path" in said
    assert "FAIL plugin    my-kinds 1.0: " in said
    assert "does not have it" in said
    assert "nothing was started" in said
    token = {"Authorization": f"Bearer {made.token['RAY_AUTH_TOKEN']}"}
    assert "greedy" not in requests.get(f"{made.dashboard}/api/jobs/", headers=token, timeout=30).text
    assert not list(made.mark.rglob("greedy"))


def test_paths_values_and_an_editable_plugin_are_uploaded_literally_and_its_code_is_compared(
    plugged: Laptop, made: Cluster, site: Path, tmp_path: Path
) -> None:
    """A shell would expand these values; here it must not."""
    edited(site)
    storage = tmp_path / "a b; touch pwned; $(touch pwned) 'c'"
    file = PLUGGED.write(plugged.home / "it's a $(touch pwned) file.yaml")
    plugged("submit", file, "--storage", storage)
    assert (storage / "more" / "ledger.db").exists()
    with (site / "my_kinds" / "modules.py").open("a") as module:
        module.write("# edited\n")
    changed = plugged("extend", "more", "--trials", "+1", code=2)
    assert "my-kinds 1.0: changed my_kinds/modules.py\n" in changed
    plugged("extend", "more", "--trials", "+1", "--accept-code")
    assert "no trial has failed" in plugged("retry", "more", "--failed", code=2)
    trial = plugged("show", "more", "1")
    assert f"{socket.gethostname()}:{storage / 'more' / 'trials'}/" in trial
    assert "convnn-record-" not in trial
    found = plugged.json("show", "more")
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 2
    assert found["folder"] == f"{socket.gethostname()}:{storage / 'more'}"
    for place in (tmp_path, plugged.home, made.mark):
        assert not list(place.rglob("pwned"))
