"""Atomic writes: a file is either complete or absent. Content goes to a temporary file, which is then renamed."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

PARTIAL = ".partial"
"""Suffix of a file that is still being written."""


def write_whole(path: Path, content: str | bytes | Iterable[str], *, private: bool = False) -> None:
    """Replace a file atomically: even after a power failure, it has either its old or its new content.

    Large content may be given as an iterable of parts. Only this user can read a `private` file.

    Raises:
        OSError: If the disk is full, or access is denied.
    """
    with replaced_whole(path) as part:
        part.touch(mode=0o600 if private else 0o666)
        with part.open("wb") as file:
            for each in [content] if isinstance(content, str | bytes) else content:
                file.write(each.encode() if isinstance(each, str) else each)


@contextlib.contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Yield a temporary path whose file replaces `path` at the end; it is removed after an error."""
    part = part_of(path)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def size_text(size: int) -> str:
    """Format a size in bytes for people."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if size >= 2**power:
            return f"{size / 2**power:.1f} {unit}"
    return f"{size / 1024:.0f} KiB"


def make_private(path: Path) -> None:
    """Make a file readable by this user only, if it exists and belongs to this user."""
    with contextlib.suppress(OSError):
        path.chmod(0o600)


def part_of(path: Path) -> Path:
    """Return the temporary path to which this process writes a file before renaming it."""
    return path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")


def is_full(error: BaseException) -> bool:
    """Whether the error says that a disk is full, or that a disk quota is used up."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
