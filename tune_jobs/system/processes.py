"""Processes of this machine, and how to tell one from another that has its number."""

import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any


def lives(pid: int) -> bool:
    """Whether there is a process of this number; it may be another one than it was."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@dataclass(frozen=True)
class Identity:
    """What no two processes of any machine or container share."""

    pid: int
    started: str
    """When, by the machine's own count."""

    boot: str
    """The start of the machine, where it numbers these."""

    namespace: str
    """In which its number counts; containers have their own."""

    def as_dict(self) -> dict[str, Any]:
        """For a file."""
        return asdict(self)


def identity_of(pid: int) -> Identity | None:
    """That of a process of this machine, as this one sees it; `None` if there is none, or it cannot be known."""
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
"""proc(5): `starttime`, counted from the field after the program's name."""


def is_here(noted: object) -> bool:
    """Whether a process whose identity was noted is one of those that this process sees, and the same one."""
    pid = noted.get("pid") if isinstance(noted, dict) else None
    found = identity_of(pid) if isinstance(pid, int) and not isinstance(pid, bool) else None
    return found is not None and found.as_dict() == noted


def counts_here(noted: object) -> bool:
    """Whether the numbers of that process count where this one is."""
    here = identity_of(os.getpid())
    if here is None or not isinstance(noted, dict):
        return False
    return (noted.get("boot"), noted.get("namespace")) == (here.boot, here.namespace)
