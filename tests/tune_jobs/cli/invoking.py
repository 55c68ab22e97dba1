"""Run `convnn` in this process, for commands that do not train."""

import json
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tune_jobs.cli.app import app


def invoke(*arguments: object, storage: Path, expect: int = 0, errors: bool = True) -> str:
    """Run a command, check its exit code, and return its output (with standard error if `errors`)."""
    words, environment = list(map(str, arguments)), {"CONVNN_STORAGE": str(storage)}
    done = CliRunner().invoke(app, words, env=environment, catch_exceptions=False)  # so that a traceback fails the test
    assert done.exit_code == expect, done.output
    return done.output if errors else done.stdout


def invoke_json(*arguments: object, storage: Path) -> Any:
    """Return what a command prints with --json."""
    return json.loads(invoke(*arguments, "--json", storage=storage, errors=False))
