"""With what a sweep was run, start by start: code, packages, data, image, command."""

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
"""Names the file that says how this process was submitted, if it was."""

_DIFF_BYTES = 1_000_000
_GIT_S = 30.0
_DIFF = ("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv")
"""Whatever is set up for people to read, `git apply` takes it."""

_PACKAGES = (DISTRIBUTION, "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "pydantic")


def write_manifest(folder: SweepFolder, digests: dict[str, str], plugins: Plugins | None = None) -> dict[str, Any]:
    """Add to manifest.json what this start of the sweep runs with; earlier starts stay in it."""
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
    """Where this runs as a submitted job: who submitted it, and from which commit; see `tune_jobs.cli.cluster_job`."""
    task = os.environ.get(SUBMISSION)
    return json.loads(Path(task).read_text(encoding="utf-8")) if task else None


def manifest_tags(start: Mapping[str, Any]) -> dict[str, str]:
    """What MLflow's runs are tagged with, from a start of the sweep in its manifest."""
    tags = {f"data_digest.{name}": digest for name, digest in start["data_digests"].items()}
    tags |= {name: start[name] for name in ("image", "image_digest") if start.get(name)}
    if start["git"]:
        tags["mlflow.source.git.commit"] = start["git"]["sha"]
        tags["git_dirty"] = str(start["git"]["dirty"]).lower()
    return tags


def recorded_starts(folder: SweepFolder) -> list[dict[str, Any]]:
    """Every start of the sweep in its manifest, the first first."""
    try:
        starts: list[dict[str, Any]] = json.loads(folder.manifest.read_text())["starts"]
    except FileNotFoundError:
        return []
    return starts


_TRUST_NOTHING = ("--no-optional-locks", "-c", "core.fsmonitor=false", "-c", "core.hooksPath=/dev/null")
"""A repository's configuration may name programs, which git would run as it looks at files."""


def git_state(place: Path) -> dict[str, Any] | None:
    """Commit and uncommitted changes of the repository around `place`; `None` outside of one.

    What git does not say within `_GIT_S` is `None`, and a long difference is cut, which `diff_truncated` says.
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
    """Options by which git runs none of the filters that the repository itself names; a user's own stay."""
    listed = _git(place, "config", "--local", "--name-only", "--get-regexp", r"^filter\.") or b""
    names = {line.rpartition(".")[0] for line in listed.decode("utf-8", "replace").splitlines()}
    changes = [f"{name}.{key}" for name in sorted(names) for key in ("clean=", "smudge=", "process=", "required=false")]
    return [word for change in changes for word in ("-c", change)]


def _git(place: Path, *arguments: str) -> bytes | None:
    """What git says; `None` if it fails, or takes too long."""
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
