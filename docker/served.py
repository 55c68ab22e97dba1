"""Refuses a Python or a machine that requirements.lock has nothing for: pip would ignore all of it, and go on."""

from __future__ import annotations  # an old Python must come as far as being refused

import platform
import sys

FIRST, LAST = (3, 11), (3, 14)
MACHINES = (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"))
"""What `tool.uv.environments` in pyproject.toml says, as Python names it; a test compares the two."""


def refusal(version: tuple[int, int], system: str, machine: str) -> str | None:
    """What is wrong with a Python or a machine, and the way out; `None` if nothing is."""
    if not FIRST <= version <= LAST:
        return (
            f"Python {_dotted(FIRST)} to {_dotted(LAST)} is needed, this is {_dotted(version)}; name another with: "
            f"make PYTHON=python3.12 ... (for the image, with BASE_IMAGE)"
        )
    if (system, machine) not in MACHINES:
        return (
            f"requirements.lock is for Linux on x86_64 or aarch64, and macOS on arm64; this is {system} on {machine}. "
            f"Take another machine, or the image where Docker runs (docs/how-to/containers.md)."
        )
    return None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    sys.exit(refusal(sys.version_info[:2], platform.system(), platform.machine()))
