"""Folders of this process alone, in the system's temporary folder."""

import contextlib
import fcntl
import os
import shutil
import tempfile
from pathlib import Path
from typing import IO

SHORT = Path("/tmp")  # noqa: S108 - a folder of our own is made in it, for this user alone
LONGEST_FOR_SOCKETS = 103 - len("/cr-12345678/session_2026-11-29_00-00-00_000000_4194304/sockets/plasma_store")
"""Bytes of a folder in which Ray's sockets can be: the whole path may have 103."""


def scratch_folder(purpose: str, *, kept_by_exec: bool = False) -> Path:
    """A new folder for `purpose`, for this user alone; those of killed processes for the same are removed.

    With `kept_by_exec` it is also that of the program that this process becomes.
    """
    return _new(f"convnn-{purpose}-", Path(tempfile.gettempdir()), kept_by_exec=kept_by_exec)


def socket_folder() -> Path:
    """The same for Ray, whose sockets need a short path: see `place_of_sockets`.

    Raises:
        OSError: If it cannot be made.
    """
    return _new("cr-", place_of_sockets())


def place_of_sockets() -> Path:
    """RAY_TMPDIR, else the system's temporary folder; /tmp where the path of that is too long."""
    wanted = Path(os.environ.get("RAY_TMPDIR") or tempfile.gettempdir())
    return wanted if len(os.fsencode(wanted)) <= LONGEST_FOR_SOCKETS else SHORT


def _new(prefix: str, place: Path, *, kept_by_exec: bool = False) -> Path:
    for left in place.glob(f"{prefix}*"):
        with contextlib.suppress(OSError), (left / _HELD).open("r+b") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # whoever made it holds this, in whatever container
            shutil.rmtree(left, ignore_errors=True)
    unseen = Path(tempfile.mkdtemp(prefix=f".{prefix}", dir=place))  # until it is held
    held = (unseen / _HELD).open("xb")
    fcntl.flock(held, fcntl.LOCK_EX)
    os.set_inheritable(held.fileno(), kept_by_exec)
    _HOLDS.append(held)
    return unseen.rename(unseen.with_name(unseen.name.removeprefix(".")))


_HELD = "in-use"
_HOLDS: list[IO[bytes]] = []
"""Open until this process ends, however it ends."""
