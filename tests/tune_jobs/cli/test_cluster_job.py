import io
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tune_jobs.cluster.job_result import MARK, Receiver
from tune_jobs.errors import UsageError


def run(task: dict[str, object], folder: Path) -> "subprocess.CompletedProcess[str]":
    """Run a job in the folder of its package, on a cluster with a wrong setting."""
    (folder / "task.json").write_text(json.dumps(task))
    return subprocess.run(
        [sys.executable, "-m", "tune_jobs.cli.cluster_job"],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={**os.environ, "CONVNN_STORAGE": "not/absolute"},
    )


def test_a_failing_command_prints_its_message(tmp_path: Path) -> None:
    done = run({"kind": "command", "arguments": ["resume", "mine"]}, tmp_path)
    assert done.returncode == 2
    assert "convnn: CONVNN_STORAGE on the cluster must be an absolute path" in done.stderr
    assert MARK not in done.stdout


def test_a_failing_question_returns_the_error(tmp_path: Path) -> None:
    done = run({"kind": "ask", "arguments": ["list"]}, tmp_path)
    with pytest.raises(UsageError, match="must be an absolute path"):
        Receiver(io.BytesIO(), "head").take(done.stdout)
