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
from search_spaces.reading.document import nearest
from tune_jobs.errors import UsageError
from tune_jobs.record.lease import OWNER, locked
from tune_jobs.system.redaction import without_password
from tune_jobs.worker.checkpoints import checkpoints_in

SUBMISSION = "CONVNN_SUBMISSION"
"""Names the file that says how this process was submitted, if it was."""

_DIFF_BYTES = 1_000_000
_GIT_S = 30.0
_DIFF = ("diff", "HEAD", "--binary", "--no-color", "--no-ext-diff", "--no-textconv")
"""Whatever is set up for people to read, `git apply` takes it."""


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
    tracking = spec.tracking.model_copy(update={"experiment": spec.experiment})
    return replace(spec, name=folder.name, tracking=tracking)  # moved: its MLflow runs stay where they are


def set_aside(folder: SweepFolder) -> SweepFolder:
    """Move a sweep's folder out of the way, so that another of its name can start; where it is then.

    Raises:
        LedgerError: If the sweep is being run.
    """
    stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
    aside = folder.path.with_name(f"{folder.name[:80]}-until-{stamp}")
    with locked(folder.path):
        folder.path.rename(aside)
        (aside / OWNER).unlink(missing_ok=True)
    return SweepFolder(aside)


def write_manifest(folder: SweepFolder, digests: dict[str, str]) -> dict[str, Any]:
    """Add to manifest.json what this start of the sweep runs with; earlier starts stay in it."""
    submission = _submission()
    start = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": [without_password(word) for word in sys.argv],
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "data_digests": digests,
        "image": os.environ.get("CONVNN_IMAGE"),
        "image_digest": os.environ.get("CONVNN_IMAGE_DIGEST") or None,
        "git": submission["git"] if submission else git_state(Path.cwd()),
        "submitted": submission["submitted"] if submission else None,
    }
    manifest = {"starts": [*recorded_starts(folder), start]}
    write_whole(folder.manifest, json.dumps(manifest, indent=2) + "\n")
    return start


def write_whole(path: Path, text: str) -> None:
    """Replace a file so that it is whole afterwards, or as it was, also where the power fails."""
    part = path.with_suffix(".partial")
    with part.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


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


_PACKAGES = ("convnn-sweeps", "torch", "torchvision", "numpy", "ray", "optuna", "mlflow", "pydantic")


def git_state(place: Path) -> dict[str, Any] | None:
    """Commit and uncommitted changes of the repository around `place`; `None` outside of one.

    What git does not say within `_GIT_S` is `None`, and a long difference is cut, which `diff_truncated` says.
    """
    if shutil.which("git") is None:
        return None
    sha = _git(place, "rev-parse", "HEAD")
    if sha is None:
        return None
    changed, diff = _git(place, "status", "--porcelain"), _git(place, *_DIFF)
    return {
        "sha": sha.decode().strip(),
        "dirty": None if changed is None else bool(changed),
        "diff": None if diff is None else diff[:_DIFF_BYTES].decode("utf-8", "replace"),
        "diff_truncated": diff is not None and len(diff) > _DIFF_BYTES,
    }


def _git(place: Path, *arguments: str) -> bytes | None:
    """What git says; `None` if it fails, or takes too long."""
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program
            ["git", "-C", str(place), *arguments],  # noqa: S607
            capture_output=True,
            check=False,
            timeout=_GIT_S,
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 else None
