"""Rejects a Python or a machine that requirements.lock does not cover: pip would silently ignore all of the lock."""

from __future__ import annotations  # an old Python must be able to run this check

import platform
import sys

FIRST, LAST = (3, 11), (3, 14)
MACHINES = (("Linux", "x86_64"), ("Linux", "aarch64"), ("Darwin", "arm64"))
"""The same as `tool.uv.environments` in pyproject.toml, with Python's names; a test compares the two."""


def refusal(version: tuple[int, int], system: str, machine: str) -> str | None:
    """Return why a Python or a machine is not supported, and what to do; `None` if it is supported."""
    if not FIRST <= version <= LAST:
        return (
            f"Python {_dotted(FIRST)} to {_dotted(LAST)} is required, this is {_dotted(version)}; choose another with: "
            f"make PYTHON=python3.12 ... (for the image, with BASE_IMAGE)"
        )
    if (system, machine) not in MACHINES:
        return (
            f"requirements.lock is for Linux on x86_64 or aarch64, and macOS on arm64; this is {system} on {machine}. "
            f"Use another machine, or the image with Docker (docs/how-to/containers.md)."
        )
    return None


def _dotted(version: tuple[int, int]) -> str:
    return ".".join(map(str, version))


if __name__ == "__main__":
    sys.exit(refusal(sys.version_info[:2], platform.system(), platform.machine()))
