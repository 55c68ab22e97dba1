"""Private temporary folders of this process."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

SHORT = Path("/tmp")  # noqa: S108 - only a private folder is made in it
LONGEST_FOR_SOCKETS = 103 - len("/cr-12345678/session_2026-11-29_00-00-00_000000_4194304/sockets/plasma_store")
"""Longest folder path for Ray's sockets, in bytes: the full path of a socket may have 103."""


def scratch_folder(purpose: str, *, kept_by_exec: bool = False) -> Path:
    """Make a new private folder for `purpose`, and remove those left by killed processes with the same purpose.

    With `kept_by_exec`, the folder stays in use when this process replaces itself with another program.
    """
    return _new(f"convnn-{purpose}-", Path(tempfile.gettempdir()), kept_by_exec=kept_by_exec)


def socket_folder() -> Path:
    """Make such a folder for Ray, whose sockets need a short path: see `place_of_sockets`.

    Raises:
        OSError: If the folder cannot be made.
    """
    return _new("cr-", place_of_sockets())


def place_of_sockets() -> Path:
    """Return RAY_TMPDIR, else the system's temporary folder; /tmp if that path is too long."""
    wanted = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    return wanted if len(os.fsencode(wanted)) <= LONGEST_FOR_SOCKETS else SHORT


def _new(prefix: str, place: Path, *, kept_by_exec: bool = False) -> Path:
    for left in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (left / _HELD).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # locked while its process runs, in any container
            shutil.rmtree(left, ignore_errors=True)
    unseen = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=place))  # hidden until it is locked
    held = (unseen / _HELD).open("xb")
    fcntl.flock(held, fcntl.LOCK_EX)
    os.set_inheritable(held.fileno(), kept_by_exec)
    _HOLDS.append(held)
    return unseen.rename(unseen.with_name(unseen.name.removeprefix(".")))


_HELD = "in-use"
_HOLDS: list[IO[bytes]] = []
"""Kept open, and so locked, until this process ends."""
