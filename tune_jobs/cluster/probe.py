"""Finds out on a cluster what it has: runs a task on every machine, and checks the tracker from the driver's machine.

It needs only Python and Ray there, so that it can report anything else that is missing.
"""

import contextlib
import json
import os
import platform
import shutil
import subprocess
import sys
import time
import uuid
from collections.abc import Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from convnn.data import Split
from tune_jobs.cluster.package import code_digest

NODE_S = 120.0
"""Time limit for a machine to report what it has."""

DATA_S = 900.0
"""The same limit, if images have to be decoded or downloaded first."""

CUDA_S = 120.0
_CUDA = (
    "import json, torch; print(json.dumps([torch.cuda.get_device_name(i) for i in range(torch.cuda.device_count())]))"
)


def probe(task: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the cluster has, for `tune_jobs.doctor.cluster`.

    `task` has `packages` (whose versions to report), `storage` (a folder or null), `data` (pairs of name and root), and
    `tracker`: a uri, or null for the cluster's own; if it is missing, the tracker is not checked.
    """
    import ray

    ray.init(log_to_driver=False, logging_level="ERROR")
    nodes = [node for node in ray.nodes() if node["Alive"]]
    mark = _Mark(task["storage"])
    try:
        request = {**task, "mark": mark.path}
        looks = _on_each(nodes, request)
    finally:
        mark.remove()
    found = {
        "ray": ray.__version__,
        "storage": mark.as_dict(),
        "nodes": [
            {
                "node_id": node["NodeID"],
                "host": node["NodeManagerHostname"],
                "address": node["NodeManagerAddress"],
                "resources": {kind: node["Resources"].get(kind, 0.0) for kind in ("CPU", "GPU", "memory")},
                **looks[node["NodeID"]],
            }
            for node in nodes
        ],
    }
    if "tracker" in task:
        from tune_jobs.doctor.tracker import check_tracker

        uri = task["tracker"] or os.environ.get("MLFLOW_TRACKING_URI")
        found["tracker"] = check_tracker(uri).as_dict() if uri else None
    return found


def look(request: Mapping[str, Any]) -> dict[str, Any]:
    """Return what the machine has on which this function runs."""
    home = _installed_at()
    mark = request["mark"]
    return {
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in request["packages"]},
        "code": code_digest(home) if home else None,
        "image": os.environ.get("CONVNN_IMAGE"),
        "sees_storage": bool(mark) and Path(mark).exists(),
        "writes_storage": bool(mark) and os.access(Path(mark).parent, os.W_OK),
        "gpus": _gpus(),
        "data": [_data(*asked) for asked in request["data"]],
    }


def _on_each(nodes: Sequence[Mapping[str, Any]], request: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    remote = ray.remote(num_cpus=0, max_retries=0)(look)
    waiting = {
        remote.options(scheduling_strategy=NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)).remote(
            request
        ): node["NodeID"]
        for node in nodes
    }
    ray.wait(list(waiting), num_returns=len(waiting), timeout=DATA_S if request["data"] else NODE_S)
    return {node_id: _answer(answer) for answer, node_id in waiting.items()}


def _answer(answer: Any) -> dict[str, Any]:  # noqa: ANN401 - Ray's reference
    import ray

    try:
        return {"error": None, **ray.get(answer, timeout=0)}
    except ray.exceptions.GetTimeoutError:
        return {"error": "it does not answer"}
    except ray.exceptions.RayError as error:
        return {"error": (str(error).strip().splitlines() or [type(error).__name__])[-1]}


class _Mark:
    """A file in the storage folder, by which other machines check that they have the same folder."""

    def __init__(self, storage: str | None) -> None:
        from tune_jobs.record.folder import default_storage

        self._folder = Path(os.path.expandvars(storage)).expanduser() if storage else default_storage()
        self._error: str | None = None
        self._file = self._folder / f".probe-{uuid.uuid4().hex}"
        self._free: float | None = None
        if not self._folder.is_absolute():
            self._error = "it must be an absolute path"
            return
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._file.write_text(time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()))
            self._free = shutil.disk_usage(self._folder).free / 1e9
        except OSError as error:
            self._error = error.strerror or str(error)

    @property
    def path(self) -> str | None:
        return None if self._error else str(self._file)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            self._file.unlink(missing_ok=True)

    def as_dict(self) -> dict[str, Any]:
        return {"path": str(self._folder), "error": self._error, "free_gb": self._free}


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _installed_at() -> Path | None:
    """Return the folder of our packages as installed on this machine, not as uploaded with this job."""
    script = (
        "import importlib.util as u, os; s = u.find_spec('tune_jobs'); "
        "print(os.path.dirname(os.path.dirname(s.origin)) if s else '')"
    )
    done = subprocess.run(  # noqa: S603 - a fixed program; -I ignores the current folder and PYTHONPATH
        [sys.executable, "-I", "-c", script], capture_output=True, text=True, check=False, timeout=NODE_S, cwd="/"
    )
    place = done.stdout.strip()
    return Path(place) if place else None


def _gpus() -> dict[str, Any]:
    """Return the number of GPUs according to the driver, and the names of those that torch can use."""
    smi = shutil.which("nvidia-smi")
    there = 0
    if smi:
        listed = subprocess.run([smi, "-L"], capture_output=True, text=True, check=False, timeout=CUDA_S)  # noqa: S603
        there = listed.stdout.count("GPU ")
    if not there:
        return {"there": 0, "torch": []}
    environment = {name: value for name, value in os.environ.items() if name != "CUDA_VISIBLE_DEVICES"}
    done = subprocess.run(  # noqa: S603 - a fixed program
        [sys.executable, "-c", _CUDA], capture_output=True, text=True, check=False, timeout=CUDA_S, env=environment
    )
    return {"there": there, "torch": json.loads(done.stdout) if done.returncode == 0 else []}


def _data(name: str, root: str | None, splits: Sequence[Split]) -> dict[str, Any]:
    """Return the digests of a data set, or why there are none. Decodes it as the sweep would."""
    found: dict[str, Any] = {"name": name, "root": root, "digests": None, "error": None}
    try:
        from convnn.data import load_dataset

        found["digests"] = load_dataset(name, root, splits=splits).digests
    except Exception as error:  # noqa: BLE001 - any error is reported
        found["error"] = (str(error).splitlines() or [type(error).__name__])[0]
    return found
