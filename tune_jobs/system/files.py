"""Files that are whole or not there: written beside, then renamed."""

import contextlib
import errno
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

PARTIAL = ".partial"
"""How the name of a file ends that is being written."""


def write_whole(path: Path, content: str | bytes | Iterable[str], *, private: bool = False) -> None:
    """Replace a file so that it is whole afterwards, or as it was, also where the power fails.

    Content that is large may come in parts.

    A `private` one can be read by this user alone.

    Raises:
        OSError: If there is no room or no access.
    """
    with replaced_whole(path) as part:
        part.touch(mode=0o600 if private else 0o666)
        with part.open("wb") as file:
            for each in [content] if isinstance(content, str | bytes) else content:
                file.write(each.encode() if isinstance(each, str) else each)


@contextlib.contextmanager
def replaced_whole(path: Path) -> Iterator[Path]:
    """Where to write a file that takes the place of `path` at the end; nothing is left of it after an error."""
    part = part_of(path)
    try:
        yield part
        with part.open("rb") as file:
            os.fsync(file.fileno())
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def size_text(size: int) -> str:
    """A size in bytes as people say it."""
    for unit, power in (("GiB", 30), ("MiB", 20)):
        if size >= 2**power:
            return f"{size / 2**power:.1f} {unit}"
    return f"{size / 1024:.0f} KiB"


def make_private(path: Path) -> None:
    """Let this user alone read a file, if it is there and his."""
    with contextlib.suppress(OSError):
        path.chmod(0o600)


def part_of(path: Path) -> Path:
    """Where this process writes a file before it gets its name."""
    return path.with_name(f".{path.name}.{os.getpid()}{PARTIAL}")


def is_full(error: BaseException) -> bool:
    """Whether the system said that a disk, or a share of one, has no room."""
    return isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT)
