"""The lease of a sweep's ledger: only one process at a time may write it, on any machine."""

import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from tune_jobs.errors import InUseError, LedgerError
from tune_jobs.record.names import LEDGER, LOCK, OWNER
from tune_jobs.record.schema import check_layout
from tune_jobs.system.processes import counts_here, identity_of, is_here, lives

LOCK_S = 1.0
"""Seconds that a new driver waits for the lock, as `live_driver` may hold it for a moment."""


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold the right to write a sweep's ledger. The operating system releases it when the process ends in any way.

    Raises:
        LedgerError: If a newer version wrote the ledger (no file is changed then), another process holds the lease (the
            message names host and process), or the folder cannot be written.
    """
    check_layout(folder / LEDGER, lambda: live_driver(folder) is not None)
    with locked(folder):
        yield


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Lock a sweep folder against drivers, whatever it contains.

    Raises:
        LedgerError: As `lease`.
    """
    owner = folder / OWNER
    lock = FileLock(folder / LOCK)
    try:
        lock.acquire(timeout=LOCK_S)
    except Timeout:
        held = _owner(folder)
        who = f"process {held['pid']} on {held['host']}" if held else "another process"
        raise InUseError(
            f"the sweep in {folder} is already running in {who}; wait for it, stop it (convnn stop {folder.name}), or "
            f"run under another name: --set name=..."
        ) from None
    except OSError as error:
        raise LedgerError(f"{folder} cannot be written: {error.strerror}; choose another --storage.") from error
    try:
        owner.write_text(json.dumps(_note()))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def live_driver(folder: Path) -> dict[str, Any] | None:
    """Return the sweep's live driver (`host`, `pid`, `since`); `None` without one, even if a dead driver left a note.

    The lock decides, as for `lease`, also for a driver on another machine or in another container. If the lock cannot
    be checked (the file is missing, or the file system has no locks), the note counts unless its process is known to be
    dead.
    """
    held = _owner(folder)
    if held is None:
        return None
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared, so that readers do not block each other
    except BlockingIOError:
        return held
    except OSError:
        return None if _is_dead(held) else held
    return None


def _note() -> dict[str, Any]:
    """Describe this process, for messages and for `convnn stop`."""
    identity = identity_of(os.getpid())
    noted = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
    return noted | ({"process": identity.as_dict()} if identity else {})


def _is_dead(held: dict[str, Any]) -> bool:
    noted = held.get("process")
    if noted is None:  # written by an earlier version
        return bool(held["host"] == socket.gethostname() and not lives(held["pid"]))
    return counts_here(noted) and not is_here(noted)


def _owner(folder: Path) -> dict[str, Any] | None:
    try:
        held = json.loads((folder / OWNER).read_text())
    except (OSError, ValueError):
        return None
    if not isinstance(held, dict) or not isinstance(held.get("host"), str):
        return None
    pid = held.get("pid")
    return held if isinstance(pid, int) and not isinstance(pid, bool) and pid > 0 else None
