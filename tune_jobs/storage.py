"""Where sweeps live: `<storage>/<name>/`, and what lies in such a folder."""

import json
import os
import platform
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

from search_spaces.document import nearest
from tune_jobs.errors import UsageError

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

    def attempt(self, run_key: str, attempt: int) -> Path:
        """The folder of one attempt."""
        return self.path / "trials" / run_key / str(attempt)

    def log_of(self, run_key: str) -> Path:
        """The log of a trial's latest attempt."""
        attempts = sorted((self.path / "trials" / run_key).glob("*"), key=lambda path: int(path.name))
        return (attempts[-1] if attempts else self.attempt(run_key, 1)) / "log.txt"

    def checkpoints(self, run_key: str) -> list[Path]:
        """The checkpoints of a trial's attempts, the latest attempt's first."""
        attempts = sorted((self.path / "trials" / run_key).glob("*"), key=lambda path: int(path.name), reverse=True)
        return [path / "checkpoint.pt" for path in attempts if (path / "checkpoint.pt").exists()]

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


def write_manifest(folder: SweepFolder, digests: dict[str, str]) -> dict[str, Any]:
    """Add to manifest.json what this start of the sweep runs with; earlier starts stay in it."""
    starts = []
    if folder.manifest.exists():
        starts = json.loads(folder.manifest.read_text())["starts"]
    start = {
        "at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": sys.argv,
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {name: version(name) for name in _PACKAGES},
        "data_digests": digests,
        "git": git_state(Path.cwd()),
    }
    manifest = {"starts": [*starts, start]}
    part = folder.manifest.with_suffix(".partial")
    part.write_text(json.dumps(manifest, indent=2) + "\n")
    part.replace(folder.manifest)
    return start


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
