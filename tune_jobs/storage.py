"""Where sweeps live: `<storage>/<name>/`, and what lies in such a folder."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search_spaces import SweepSpec, parse_sweep
from search_spaces.document import nearest
from tune_jobs.checkpoints import checkpoints_in
from tune_jobs.errors import UsageError
from tune_jobs.ledger import OWNER, lease

SUBMISSION = "CONVNN_SUBMISSION"
"""Names the file that says how this process was submitted, if it was."""

_DIFF_BYTES = 1_000_000


def default_storage() -> Path:
    """`CONVNN_STORAGE`, else `~/convnn-sweeps`."""
    return Path(os.environ.get("CONVNN_STORAGE") or "~/convnn-sweeps").expanduser().absolute()


@dataclass(frozen=True)
class SweepFolder:
    """One sweep's folder. Copy it and you have the sweep."""

    path: Path

    @property
    def name(self) -> str:
        """The sweep's name."""
        return self.path.name

    @property
    def ledger(self) -> Path:
        """The record."""
        return self.path / "ledger.db"

    @property
    def spec(self) -> Path:
        """The YAML as run."""
        return self.path / "sweep.yaml"

    @property
    def manifest(self) -> Path:
        """What the sweep was run with."""
        return self.path / "manifest.json"

    @property
    def stop_file(self) -> Path:
        """Is there while the sweep stops: workers keep their state after their epoch and end."""
        return self.path / "stopping"

    @property
    def pause_file(self) -> Path:
        """Asks the sweep's driver to stop after the epoch of every running trial."""
        return self.path / "pausing"

    def attempt(self, run_key: str, attempt: int) -> Path:
        """The folder of one attempt."""
        return self.path / "trials" / run_key / str(attempt)

    def log_of(self, run_key: str) -> Path:
        """The log of a trial's latest attempt."""
        attempts = sorted((self.path / "trials" / run_key).glob("*"), key=lambda path: int(path.name))
        return (attempts[-1] if attempts else self.attempt(run_key, 1)) / "log.txt"

    def checkpoints(self, run_key: str) -> list[Path]:
        """The checkpoints of a trial's attempts, the newest first."""
        attempts = sorted((self.path / "trials" / run_key).glob("[0-9]*"), key=lambda p: int(p.name), reverse=True)
        return [path for attempt in attempts for path in checkpoints_in(attempt)]

    @property
    def default_tracker(self) -> str:
        """The SQLite store of MLflow where no other tracker is named."""
        return f"sqlite:///{self.path / 'mlflow.db'}"


def sweep_folders(storage: Path) -> list[SweepFolder]:
    """Every sweep in `storage`, by name; none if the folder does not exist."""
    return [SweepFolder(path.parent) for path in sorted(storage.glob("*/ledger.db"))]


def find_sweep(name: str, storage: Path) -> SweepFolder:
    """The sweep called `name`.

    Raises:
        UsageError: If there is none, naming the nearest one.
    """
    folder = SweepFolder(storage / name)
    if folder.ledger.exists() and name not in ("", ".", ".."):
        return folder
    names = [found.name for found in sweep_folders(storage)]
    hint = nearest(name, names) if names else "there is none yet; `convnn run quickstart` makes one."
    raise UsageError(f"there is no sweep {name!r} in {storage}; {hint}")


def recorded_spec(folder: SweepFolder, overrides: Sequence[str] = ()) -> SweepSpec:
    """The sweep as its folder records it, under the folder's name, with `overrides`.

    Raises:
        UsageError: If the file as run is missing.
        SpecError: If it, or an override, is wrong.
    """
    try:
        text = folder.spec.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UsageError(f"{folder.spec} is missing; run the sweep's own file again: convnn run FILE.") from error
    spec = parse_sweep(text, str(folder.spec), overrides)
    if spec.name == folder.name:
        return spec
    tracking = spec.tracking.model_copy(update={"experiment": spec.tracking.experiment or spec.name})
    return replace(spec, name=folder.name, tracking=tracking)  # moved: its MLflow runs stay where they are


def set_aside(folder: SweepFolder) -> SweepFolder:
    """Move a sweep's folder out of the way, so that another of its name can start; where it is then.

    Raises:
        LedgerError: If the sweep is being run.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = folder.path.with_name(f"{folder.name[:80]}-until-{stamp}")
    with lease(folder.path):
        folder.path.rename(aside)
        (aside / OWNER).unlink(missing_ok=True)
    return SweepFolder(aside)


def write_manifest(folder: SweepFolder, digests: dict[str, str]) -> dict[str, Any]:
    """Add to manifest.json what this start of the sweep runs with; earlier starts stay in it."""
    starts = []
    if folder.manifest.exists():
        starts = json.loads(folder.manifest.read_text())["starts"]
    submission = _submission()
    start = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "data_digests": digests,
        "image": os.environ.get("CONVNN_IMAGE"),
        "image_digest": os.environ.get("CONVNN_IMAGE_DIGEST") or None,
        "git": submission["git"] if submission else git_state(Path.cwd()),
        "submitted": submission["submitted"] if submission else None,
    }
    manifest = {"starts": [*starts, start]}
    part = folder.manifest.with_suffix(".partial")
    part.write_text(json.dumps(manifest, indent=2) + "\n")
    part.replace(folder.manifest)
    return start


def _submission() -> dict[str, Any] | None:
    """Where this runs as a submitted job: who submitted it, and from which commit; see `tune_jobs.cluster.entry`."""
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


def last_start(folder: SweepFolder) -> dict[str, Any] | None:
    """The latest start of the sweep in its manifest, if there is one."""
    try:
        starts: list[dict[str, Any]] = json.loads(folder.manifest.read_text())["starts"]
    except FileNotFoundError:
        return None
    return starts[-1] if starts else None


_PACKAGES = ("convnn-sweeps", "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "pydantic")


def git_state(place: Path) -> dict[str, Any] | None:
    """Commit and uncommitted changes of the repository around `place`; `None` outside of one."""
    if shutil.which("git") is None:
        return None

    def git(*arguments: str) -> str | None:
        done = subprocess.run(  # noqa: S603 - a fixed program
            ["git", "-C", str(place), *arguments],  # noqa: S607
            capture_output=True,
            text=True,
            errors="replace",
            check=False,
            timeout=30,
        )
        return done.stdout if done.returncode == 0 else None

    sha = git("rev-parse", "HEAD")
    if sha is None:
        return None
    diff = git("diff", "HEAD") or ""
    return {"sha": sha.strip(), "dirty": bool(git("status", "--porcelain")), "diff": diff[:_DIFF_BYTES]}
