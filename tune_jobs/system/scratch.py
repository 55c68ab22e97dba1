"""Folders of this process alone, in the system's temporary folder."""

import os
import shutil
import tempfile
from pathlib import Path

from tune_jobs.system.processes import lives

SHORT = Path("/tmp")  # noqa: S108 - a folder of our own is made in it, for this user alone
LONGEST_FOR_SOCKETS = 103 - len("/cr4194304-12345678/session_2026-11-29_00-00-00_000000_4194304/sockets/plasma_store")
"""Bytes of a folder in which Ray's sockets can be: the whole path may have 103."""


def scratch_folder(purpose: str) -> Path:
    """A new folder for `purpose`, for this user alone; those of killed processes for the same are removed."""
    return _new(f"convnn-{purpose}-", Path(tempfile.gettempdir()))


def socket_folder() -> Path:
    """The same for Ray, whose sockets need a short path: see `place_of_sockets`.

    Raises:
        OSError: If it cannot be made.
    """
    return _new("cr", place_of_sockets())


def place_of_sockets() -> Path:
    """RAY_TMPDIR, else the system's temporary folder; /tmp where the path of that is too long."""
    wanted = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    return wanted if len(os.fsencode(wanted)) <= LONGEST_FOR_SOCKETS else SHORT


def _new(prefix: str, place: Path) -> Path:
    for left in place.glob(f"{prefix}*"):
        pid = left.name.removeprefix(prefix).partition("-")[0]
        if pid.isdigit() and not lives(int(pid)):
            shutil.rmtree(left, ignore_errors=True)
    return Path(tempfile.mkdtemp(prefix=f"{prefix}{os.getpid()}-", dir=place))
