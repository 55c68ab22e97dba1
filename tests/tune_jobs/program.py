"""The installed `convnn` program, run as a user runs it."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

CONVNN = str(Path(sys.executable).parent / "convnn")
SECONDS = 240


def convnn(*arguments: object, storage: Path, expect: int = 0, python: str = sys.executable, **environment: str) -> str:
    """Run a command to its end, check its exit code, and return its standard output."""
    done = subprocess.run(
        [python, CONVNN, *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
        env={**os.environ, "CONVNN_STORAGE": str(storage), **environment},
    )
    assert done.returncode == expect, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout if expect in (0, 3) else done.stdout + done.stderr


def convnn_json(*arguments: object, storage: Path) -> Any:
    """Return what a command prints with --json."""
    return json.loads(convnn(*arguments, "--json", storage=storage))


def start(
    *arguments: object, storage: Path, python: str = sys.executable, **environment: str
) -> "subprocess.Popen[str]":
    """Start a command in the background, in its own process group, as a terminal would."""
    return subprocess.Popen(
        [python, CONVNN, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "CONVNN_STORAGE": str(storage), **environment},
    )
