"""Docker as a user runs it: `docker`, and this project's `make` targets."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
BUILD_S = 3600
SECONDS = 900
GUARDED = (
    *("--read-only", "--tmpfs", "/tmp:exec", "--tmpfs", "/home/convnn:exec", "--tmpfs", "/cache"),  # noqa: S108 - inside
    *("--cap-drop", "ALL", "--security-opt", "no-new-privileges", "--shm-size", "512m"),
)


def run(*command: object, timeout_s: float = SECONDS, expect: int = 0, **environment: str) -> str:
    """Run a command in the project's root; check its exit code, and return its standard output."""
    done = subprocess.run(
        [*map(str, command)],
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        cwd=ROOT,
        env={**os.environ, **environment},
    )
    assert done.returncode == expect, f"{command}: exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def docker(*arguments: object, timeout_s: float = SECONDS, expect: int = 0) -> str:
    """Return the standard output of a docker command."""
    return run("docker", *arguments, timeout_s=timeout_s, expect=expect).strip()


def make(*arguments: object, **variables: object) -> str:
    """Run a target of the Makefile, with its variables."""
    given = [f"{name}={value}" for name, value in variables.items()]
    return run("make", f"PYTHON={sys.executable}", *arguments, *given, timeout_s=BUILD_S)


def inspect(kind: str, name: str) -> Any:
    """Return the output of `docker inspect` for an image or a container."""
    return json.loads(docker(kind, "inspect", name))[0]
