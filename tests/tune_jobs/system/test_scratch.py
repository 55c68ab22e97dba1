import os
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest

from tune_jobs.system.scratch import scratch_folder


def test_the_folders_of_killed_processes_go_and_those_of_others_stay(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    left, live, other = (
        tmp_path / name for name in (f"convnn-tune-{ended.pid}-a", f"convnn-tune-{os.getpid()}-b", "convnn-ray-1-c")
    )
    for folder in (left, live, other):
        folder.mkdir()
    new = scratch_folder("tune")
    assert new.name.startswith(f"convnn-tune-{os.getpid()}-")
    assert sorted(tmp_path.iterdir()) == sorted([live, other, new])
