"""Folders of this process alone, in the system's temporary folder."""

import os
import shutil
import tempfile
from pathlib import Path

from tune_jobs.system.processes import lives


def scratch_folder(purpose: str) -> Path:
    """A new folder for `purpose`; those of killed processes for the same are removed."""
    prefix = f"convnn-{purpose}-"
    for left in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not lives(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-"))
