"""The manifest for KubeRay: the parts that KubeRay's schema defines, and the parts that only this project knows."""

import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from search_spaces import parse_sweep
from tests.docker.engine import ROOT
from tune_jobs.cli.app import app

TEXT = (ROOT / "docker" / "kuberay" / "rayjob.yaml").read_text()
PARTS: dict[str, Any] = {part["kind"]: part for part in yaml.safe_load_all(TEXT)}
JOB = PARTS["RayJob"]["spec"]
CLUSTER = JOB["rayClusterSpec"]
GROUPS = [CLUSTER["headGroupSpec"], *CLUSTER["workerGroupSpecs"]]
PODS = [group["template"]["spec"] for group in GROUPS]
CONTAINERS = [container for pod in PODS for container in pod["containers"]]
SWEEP = PARTS["ConfigMap"]["data"]["sweep.yaml"]


def mounts(container: dict[str, Any]) -> dict[str, str]:
    """Return the volumes of a container, by mount path."""
    return {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}


def test_the_manifest_is_a_ray_job() -> None:
    assert PARTS["RayJob"]["apiVersion"] == "ray.io/v1"
    assert JOB["submissionMode"] in ("K8sJobMode", "HTTPMode", "SidecarMode")
    assert JOB["backoffLimit"] == 0
    assert JOB["shutdownAfterJobFinishes"] is True
    assert CLUSTER["authOptions"] == {"mode": "token"}
    for group in GROUPS:
        assert all(isinstance(value, str) for value in group["rayStartParams"].values())
        assert len(group["template"]["spec"]["containers"]) == 1


def test_its_ray_is_the_locked_one() -> None:
    assert f"\nray=={CLUSTER['rayVersion']} " in (ROOT / "requirements.lock").read_text()


def test_its_command_is_a_convnn_command() -> None:
    program, verb, *arguments = shlex.split(JOB["entrypoint"])
    assert program == "convnn"
    command = typer.main.get_command(app).commands[verb]  # type: ignore[attr-defined]
    parsed = command.make_context(verb, arguments).params
    assert parsed["storage"] == Path("/sweeps")
    folder, _, name = parsed["file"].rpartition("/")
    head = CONTAINERS[0]
    volume = next(volume for volume in PODS[0]["volumes"] if volume["name"] == mounts(head)[folder])
    assert volume["configMap"]["name"] == PARTS["ConfigMap"]["metadata"]["name"]
    assert name in PARTS["ConfigMap"]["data"]


def test_its_sweep_is_valid_and_fits_a_worker() -> None:
    sweep = parse_sweep(SWEEP, "sweep.yaml", ())
    limits = CONTAINERS[1]["resources"]["limits"]
    at_a_time = 1 / sweep.resources.gpus_per_trial
    assert int(limits["nvidia.com/gpu"]) == 1
    assert sweep.resources.cpus_per_trial * at_a_time <= int(limits["cpu"])
    assert f"/sweeps/{sweep.name}/stopping" in CONTAINERS[0]["lifecycle"]["preStop"]["exec"]["command"][-1]
    assert all(str(data.root).startswith("/sweeps/") for data in sweep.space.data_sets())


def test_head_and_workers_share_image_and_sweeps() -> None:
    claim = PARTS["PersistentVolumeClaim"]
    assert claim["spec"]["accessModes"] == ["ReadWriteMany"]
    for container, pod in zip(CONTAINERS, PODS, strict=True):
        name = mounts(container)["/sweeps"]
        volume = next(volume for volume in pod["volumes"] if volume["name"] == name)
        assert volume["persistentVolumeClaim"]["claimName"] == claim["metadata"]["name"]
        environment = {variable["name"]: variable.get("value") for variable in container["env"]}
        assert container["image"] == CONTAINERS[0]["image"]
        assert container["image"].endswith(f"@{environment['CONVNN_IMAGE_DIGEST']}")


@pytest.mark.parametrize("number", range(len(PODS)))
def test_pods_are_confined(number: int) -> None:
    pod, container = PODS[number], CONTAINERS[number]
    assert pod["securityContext"]["runAsNonRoot"]
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert {"/tmp", "/home/convnn", "/cache"} <= mounts(container).keys()  # noqa: S108 - in the container
    assert {"cpu", "memory"} <= container["resources"]["limits"].keys()


def test_a_stopped_job_has_time_for_last_checkpoints() -> None:
    for container, pod in zip(CONTAINERS, PODS, strict=True):
        wait = next(v["value"] for v in container["env"] if v["name"] == "RAY_JOB_STOP_WAIT_TIME_S")
        assert pod["terminationGracePeriodSeconds"] >= int(wait) + 30
