"""Who may write a sweep's ledger: one process at a time, whichever machine it is on."""

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
"""How long a new driver waits for the lock, which `live_driver` may hold for a moment."""


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold the right to write a sweep's ledger. The operating system frees it when the process ends, however it ends.

    Raises:
        LedgerError: If a newer program wrote the ledger, and then no file is touched; if another process holds the
            right, naming host and process; or the folder cannot be written.
    """
    check_layout(folder / LEDGER, lambda: live_driver(folder) is not None)
    with locked(folder):
        yield


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep drivers off a sweep's folder, whatever is in it.

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
    """Who runs the sweep now: `host`, `pid`, `since`; `None` if nobody does, whatever a dead driver's note says.

    The lock decides, as for `lease`, also about a driver on another machine or in another container. Where it cannot be
    asked (no such file, or a file system without locks), a note is believed unless it names a process that is not here.
    """
    held = _owner(folder)
    if held is None:
        return None
    try:
        with (folder / LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: readers do not take each other for drivers
    except BlockingIOError:
        return held
    except OSError:
        return None if _is_dead(held) else held
    return None


def _note() -> dict[str, Any]:
    """Who this process is, for people and for `convnn stop`."""
    identity = identity_of(os.getpid())
    noted = {"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}
    return noted | ({"process": identity.as_dict()} if identity else {})


def _is_dead(held: dict[str, Any]) -> bool:
    noted = held.get("process")
    if noted is None:  # an earlier version's
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
