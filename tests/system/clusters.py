"""A laptop that uses a Ray cluster with token authentication: a clean home, no checkout, only an address."""

import contextlib
import json
import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.faults.driving import OFFLINE
from tests.faults.ray_cluster import Cluster
from tests.tune_jobs.program import CONVNN
from tune_jobs.errors import LedgerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.results.summary import read_summary

SECONDS = 240
_FOREIGN = ("RAY_ADDRESS", "CONVNN_ADDRESS", "CONVNN_STORAGE", "MLFLOW_TRACKING_URI", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN")


@dataclass
class Laptop:
    """The user's machine."""

    home: Path
    environment: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        kept = {name: value for name, value in os.environ.items() if name not in _FOREIGN}
        self.environment = {**kept, "HOME": str(self.home), "PYTHONPATH": str(OFFLINE), **self.environment}

    def start(self, *arguments: object, **environment: str) -> "subprocess.Popen[str]":
        """Start a command in the background."""
        return subprocess.Popen(
            [CONVNN, *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            cwd=self.home,
            env={**self.environment, **environment},
            start_new_session=True,
        )

    def __call__(self, *arguments: object, code: int = 0, **environment: str) -> str:
        """Run a command to its end; return its standard output, or standard error if an error is expected."""
        process = self.start(*arguments, **environment)
        out, errors = process.communicate(timeout=SECONDS)
        assert process.returncode == code, f"exit code {process.returncode}\n{out}\n{errors}"
        assert "Traceback" not in errors, errors
        return out if code in (0, 3) else out + errors

    def together(self, *commands: tuple[object, ...], code: int = 0) -> list[str]:
        """Run commands at the same time, each to its end with this exit code; return their output."""
        with ThreadPoolExecutor() as pool:
            return list(pool.map(lambda command: self(*command, code=code), commands))

    def json(self, *arguments: object, code: int = 0) -> Any:
        """Return the output of a command with --json."""
        return json.loads(self(*arguments, "--json", code=code))


def laptop_of(cluster: Cluster, home: Path, **environment: str) -> Laptop:
    """Return a laptop that has the cluster's address and a file with its token."""
    home.mkdir(parents=True, exist_ok=True)
    token = home / "token"
    token.write_text(cluster.token["RAY_AUTH_TOKEN"])
    return Laptop(home, {"CONVNN_ADDRESS": cluster.dashboard, "RAY_AUTH_TOKEN_PATH": str(token), **environment})


def wait_for_epochs(folder: Path, epochs: int) -> None:
    """Wait until the trials of the sweep in a folder have run this many epochs in total."""
    deadline = time.monotonic() + SECONDS
    while not (folder / "ledger.db").exists() or _epochs(folder) < epochs:
        assert time.monotonic() < deadline, f"no {epochs} epochs in {folder}"
        time.sleep(0.3)


def _epochs(folder: Path) -> int:
    with contextlib.suppress(LedgerError):  # it is being created
        return sum(trial.epoch for trial in read_summary(SweepFolder(folder)).rows)
    return 0
