"""The control groups of this process, with which Linux limits CPUs and memory."""

from collections.abc import Iterator
from pathlib import Path


def groups_of(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of the groups with this controller; in a container, only those of the container are visible."""
    mounts = root / "sys/fs/cgroup"
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        mount = mounts / controllers if controllers else mounts
        here = mount / path.lstrip("/")
        yield from (place for place in (here, *here.parents) if place.is_relative_to(mount))


def read_text(file: Path) -> str:
    """Return a file's text; empty if it cannot be read."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
