"""Processes of this machine, and how to tell apart two processes that had the same process id."""

import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


def lives(pid: int) -> bool:
    """Whether a process with this id exists; it may be a different process than before."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True)
class Identity:
    """Identifies a process uniquely across machines and containers."""

    pid: int
    started: str
    """Start time, in the machine's own units."""

    boot: str
    """The boot id of the machine, if it has one."""

    namespace: str
    """The namespace of the process id; each container has its own."""

    def as_dict(self) -> dict[str, Any]:
        """Return the identity as plain data, for a file."""
        return asdict(self)


def identity_of(pid: int) -> Identity | None:
    """Return the identity of a process of this machine; `None` if it does not exist or cannot be identified."""
    if pid <= 0:
        return None
    if not sys.platform.startswith("linux"):
        asked = subprocess.run(["ps", "-o", "lstart=", "-p", str(pid)], capture_output=True, text=True, check=False)  # noqa: S603, S607
        return Identity(pid, asked.stdout.strip(), "", "") if asked.stdout.strip() else None
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        return Identity(pid, fields[_STARTED], boot, str(Path("/proc/self/ns/pid").readlink()))
    except (OSError, UnicodeDecodeError, IndexError):
        return None


_STARTED = 19
"""Index of `starttime` in proc(5), counted from the field after the program's name."""


def is_here(noted: object) -> bool:
    """Whether the process with this recorded identity still runs, and this process can see it."""
    pid = noted.get("pid") if isinstance(noted, dict) else None
    found = identity_of(pid) if isinstance(pid, int) and not isinstance(pid, bool) else None
    return found is not None and found.as_dict() == noted


def counts_here(noted: object) -> bool:
    """Whether that process's id is valid here: on the same boot of the machine and in the same namespace."""
    here = identity_of(os.getpid())
    if here is None or not isinstance(noted, dict):
        return False
    return (noted.get("boot"), noted.get("namespace")) == (here.boot, here.namespace)
