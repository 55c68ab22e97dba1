"""A disk of a few megabytes, whose space can be taken away and given back. Needs root."""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

BUSY_S = 30.0
PAGE = os.sysconf("SC_PAGE_SIZE")


class Disk:
    """A tmpfs: its files are in memory, but it gets full like a real disk."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def resize(self, size: int) -> None:
        """Set its size in bytes."""
        _mount("-o", f"remount,size={size}", str(self.path))

    def leave(self, free: int) -> None:
        """Resize it to its content plus `free` bytes; Linux refuses while a process writes."""

        def resize() -> None:
            found = os.statvfs(self.path)
            used = (found.f_blocks - found.f_bfree) * found.f_frsize
            self.resize(max(PAGE, used + free // PAGE * PAGE))  # size=0 would be no limit

        _until_done(resize)

    def protect(self, *, read_only: bool) -> None:
        """Make it read-only, once no process has a file open for writing; or writable again."""
        _until_done(lambda: _mount("-o", "remount,ro" if read_only else "remount,rw", str(self.path)))


@contextlib.contextmanager
def small_disk(path: Path, size: int) -> Iterator[Disk]:
    """Mount a disk of `size` bytes at `path`."""
    path.mkdir(parents=True)
    _mount("-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(path))
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "--lazy", str(path)], check=True)


def _until_done(change: Callable[[], None]) -> None:
    """Repeat the change for a while if the disk is busy."""
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
