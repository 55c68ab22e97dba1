"""The control groups that this process is in, by which Linux limits CPUs and memory."""

from collections.abc import Iterator
from pathlib import Path


def groups_of(root: Path, controller: str) -> Iterator[Path]:
    """The folders of the groups with this controller; a container sees only its own, as the topmost."""
    mounts = root / "sys/fs/cgroup"
    for line in read_text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = (*line.split(":", 2), "", "")[:3]
        if controllers and controller not in controllers.split(","):
            continue
        mount = mounts / controllers if controllers else mounts
        here = mount / path.lstrip("/")
        yield from (place for place in (here, *here.parents) if place.is_relative_to(mount))


def read_text(file: Path) -> str:
    """What a file says; nothing where it cannot be read."""
    try:
        return file.read_text()
    except (OSError, UnicodeDecodeError):
        return ""
