"""A disk of a few megabytes, whose room can be taken away and given back. Needs root."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BUSY_S = 30.0
PAGE = os.sysconf("SC_PAGE_SIZE")


class Disk:
    """A tmpfs: what is written to it is in memory, and it is as full as a real one."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, size: int) -> None:
        """Make it so many bytes large."""
        _mount("-o", f"remount,size={size}", str(self.path))

    def leave(self, free: int) -> None:
        """Make it as large as what is on it, and `free` bytes; what is written meanwhile makes Linux refuse."""

        def resize() -> None:
            found = os.statvfs(self.path)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            self.resize(max(PAGE, used + free // PAGE * PAGE))  # size=0 would be no limit

        _until_done(resize)

    def protect(self, *, read_only: bool) -> None:
        """Make it read-only, once nobody has a file open for writing; or writable again."""
        _until_done(lambda: _mount("-o", "remount,ro" if read_only else "remount,rw", str(self.path)))


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[Disk]:
    """A disk of `size` bytes at `path`."""
    path.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _until_done(change: Callable[[], None]) -> None:
    """Do it again for a while where the disk is busy."""
    deadline = time.monotonic() + BUSY_S
    while True:
        try:
            return change()
        except OSError:
            if time.monotonic() > deadline:
                raise
        time.sleep(0.2)


def _mount(*options: str) -> None:
    done = subprocess.run(["mount", *options], capture_output=True, text=True, check=False)
    if done.returncode:
        raise OSError(f"mount {' '.join(options)}: {done.stderr.strip()}; is this root, with CAP_SYS_ADMIN?")
