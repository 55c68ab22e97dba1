"""The manifest: code, packages, data, container image and command of each start of a sweep."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path
from typing import Any

from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.plugins import Plugins
from tune_jobs.system.files import write_whole
from tune_jobs.system.packages import DISTRIBUTION
from tune_jobs.system.redaction import without_password

SUBMISSION = "CONVNN_SUBMISSION"
"""The environment variable with the path of a file that says how this process was submitted, if it was."""

JOB_ADDRESS = "CONVNN_JOB_ADDRESS"
"""The environment variable with the address of the cluster that this job was submitted to, without a password."""

_DIFF_BYTES = 1_000_000
_GIT_S = 30.0
_DIFF = ("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv")
"""The output can be applied with `git apply`, whatever the user's git configuration."""

_PACKAGES = (DISTRIBUTION, "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "pydantic")


def write_manifest(folder: SweepFolder, digests: dict[str, str], plugins: Plugins | None = None) -> dict[str, Any]:
    """Add this start of the sweep to manifest.json; earlier starts stay in it."""
    submission = _submission()
    start = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": [without_password(word) for word in sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "plugins": plugins or {},
        "data_digests": digests,
        "image": os.environ.get("CONVNN_IMAGE"),
        "image_digest": os.environ.get("CONVNN_IMAGE_DIGEST") or None,
        "git": submission["git"] if submission else git_state(Path.cwd()),
        "submitted": submission["submitted"] if submission else None,
    }
    manifest = {"starts": [*recorded_starts(folder), start]}
    write_whole(folder.manifest, json.dumps(manifest, indent=2) + "\n")
    return start


def _submission() -> dict[str, Any] | None:
    """Return who submitted this job and from which commit, if anyone did; see `tune_jobs.cli.cluster_job`."""
    task = os.environ.get(SUBMISSION)
    return json.loads(Path(task).read_text(encoding="utf-8")) if task else None


def manifest_tags(start: Mapping[str, Any]) -> dict[str, str]:
    """Return the tags of MLflow's runs, from a start of the sweep in its manifest."""
    tags = {f"data_digest.{name}": digest for name, digest in start["data_digests"].items()}
    tags |= {name: start[name] for name in ("image", "image_digest") if start.get(name)}
    if start["git"]:
        tags["mlflow.source.git.commit"] = start["git"]["sha"]
        tags["git_dirty"] = str(start["git"]["dirty"]).lower()
    return tags


def recorded_starts(folder: SweepFolder) -> list[dict[str, Any]]:
    """Return every start of the sweep in its manifest, the earliest first."""
    try:
        starts: list[dict[str, Any]] = json.loads(folder.manifest.read_text())["starts"]
    except FileNotFoundError:
        return []
    return starts


_TRUST_NOTHING = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
"""A repository's configuration may name programs that git would run when it looks at files."""


def git_state(place: Path) -> dict[str, Any] | None:
    """Return commit and uncommitted changes of the repository around `place`; `None` outside of a repository.

    A value that git does not return within `_GIT_S` is `None`. A long diff is cut, and `diff_truncated` is then true.
    """
    if shutil.which("git") is None:
        return None
    sha = _git(place, "rev-parse", "HEAD")
    if sha is None:
        return None
    quiet = _no_filters(place)
    changed = _git(place, *quiet, "status", "--porcelain", "--ignore-submodules=dirty")
    diff = _git(place, *quiet, *_DIFF)
    return {
        "sha": sha.decode().strip(),
        "dirty": None if changed is None else bool(changed),
        "diff": None if diff is None else diff[:_DIFF_BYTES].decode("utf-8", "replace"),
        "diff_truncated": diff is not None and len(diff) > _DIFF_BYTES,
    }


def _no_filters(place: Path) -> list[str]:
    """Return options that turn off the filters of the repository's configuration; the user's own filters stay."""
    listed = _git(place, "config", "--local", "--name-only", "--get-regexp", r"^filter\.") or b""
    names = {line.rpartition(".")[0] for line in listed.decode("utf-8", "replace").splitlines()}
    changes = [f"{name}.{key}" for name in sorted(names) for key in ("clean=", "smudge=", "process=", "required=false")]
    return [word for change in changes for word in ("-c", change)]


def _git(place: Path, *arguments: str) -> bytes | None:
    """Return git's output; `None` if it fails or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program
            ["git", *_TRUST_NOTHING, "-C", str(place), *arguments],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=_GIT_S,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
