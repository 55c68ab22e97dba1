"""The scratch folder of one call: created at its start, and kept if the call fails."""

import os
import shutil
import tempfile
import time
from pathlib import Path

from tests.faults.bench import say
from tests.tune_jobs.stores import SCRATCH


def open_scratch(name: str) -> Path:
    """Create a new folder, which all started processes share."""
    scratch = Path(tempfile.mkdtemp(prefix=f"convnn-{name}-"))
    os.environ[SCRATCH] = str(scratch)
    return scratch


def close_scratch(scratch: Path, *, passed: bool, began: float) -> int:
    """Return 0 if everything passed and no process tried to connect beyond loopback, else 1; print the result."""
    outside = scratch / "connections.txt"
    if outside.exists():
        say(f"there were connection attempts beyond loopback:\n{outside.read_text()}")
        passed = False
    say(f"{'passed' if passed else 'FAILED'} after {(time.monotonic() - began) / 60:.1f} minutes")
    if passed:
        shutil.rmtree(scratch, ignore_errors=True)
    else:
        say(f"the remaining files are in {scratch}")
    return 0 if passed else 1
