"""Find the sockets that the processes of a sweep listen on, from Linux's /proc."""

import contextlib
import ipaddress
import socket
import struct
from pathlib import Path

LISTENS = "0A"


def listeners(variable: str, value: str) -> set[tuple[str, str]]:
    """Return address and program of every listening TCP socket of processes with this environment variable."""
    owners = _sockets(f"{variable}={value}\0".encode())
    found = set()
    for table in ("tcp", "tcp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == LISTENS and fields[9] in owners:
                found.add((_address(fields[1].partition(":")[0]), owners[fields[9]]))
    return found


def programs(variable: str, value: str) -> set[str]:
    """Return the command lines of all processes with this environment variable."""
    return set(_processes(f"{variable}={value}\0".encode()).values())


def is_of_this_machine(address: str) -> bool:
    """Whether only processes on this machine can reach the address."""
    found = ipaddress.ip_address(address)
    return (getattr(found, "ipv4_mapped", None) or found).is_loopback


def _processes(mark: bytes) -> dict[Path, str]:
    found: dict[Path, str] = {}
    for process in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            if process.name.isdigit() and mark in (process / "environ").read_bytes():
                program = (process / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                found[process] = program[:120]
    return found


def _sockets(mark: bytes) -> dict[str, str]:
    found: dict[str, str] = {}
    for process, program in _processes(mark).items():
        with contextlib.suppress(OSError):
            targets = [str(entry.readlink()) for entry in (process / "fd").iterdir()]
            found |= {target[8:-1]: program for target in targets if target.startswith("socket:[")}
    return found


def _address(text: str) -> str:
    words = [int(text[start : start + 8], 16) for start in range(0, len(text), 8)]
    packed = struct.pack(f"<{len(words)}I", *words)
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6, packed)
