"""Files that are whole or not there: written beside, then renamed."""

import errno
import os
from pathlib import Path

PARTIAL = ".partial"
"""How the name of a file ends that is being written."""


def write_whole(path: Path, content: str | bytes) -> None:
    """Replace a file so that it is whole afterwards, or as it was, also where the power fails.

    Raises:
        OSError: If there is no room or no access.
    """
    part = part_of(path)
    try:
        with part.open("wb") as file:
            file.write(content.encode() if isinstance(content, str) else content)
            file.flush()
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def part_of(path: Path) -> Path:
    """Where this process writes a file before it gets its name."""
    return path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")


def is_full(error: BaseException) -> bool:
    """Whether the system said that a disk, or a share of one, has no room."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
