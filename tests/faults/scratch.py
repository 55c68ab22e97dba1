"""The folder of one call: made at its start, and kept if anything was wrong."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from tests.faults.bench import say
from tests.tune_jobs.stores import SCRATCH


def open_scratch(name: str) -> Path:
    """A new folder, which everything that is started shares."""
    scratch = Path(tempfile.mkdtemp(prefix=f"convnn-{name}-"))
    os.environ[SCRATCH] = str(scratch)
    return scratch


def close_scratch(scratch: Path, *, passed: bool, began: float) -> int:
    """The exit code: 0 if all passed and nobody tried to connect beyond loopback. Says so, and where to look if not."""
    outside = scratch / "connections.txt"
    if outside.exists():
        say(f"connections beyond loopback were tried:\n{outside.read_text()}")
        passed = False
    say(f"{'passed' if passed else 'FAILED'} after {(time.monotonic() - began) / 60:.1f} minutes")
    if passed:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        say(f"what is left is in {scratch}")
    return 0 if passed else 1
