"""A sweep's disk usage, and how to free disk space."""

import shutil
import time
from dataclasses import dataclass

from tune_jobs.record import names
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import locked


@dataclass(frozen=True)
class Disk:
    """Disk usage in bytes."""

    all: int
    checkpoints: int


def disk_of(folder: SweepFolder) -> Disk:
    """Return the current disk usage. Links are not followed; files that disappear meanwhile are not counted."""
    total = checkpoints = 0
    for path in folder.path.rglob("*"):
        try:
            size = path.lstat().st_size if path.is_symlink() or path.is_file() else 0
        except OSError:
            continue
        total += size
        checkpoints += size if path.suffix == ".pt" else 0
    return Disk(total, checkpoints)


def remove_checkpoints(folder: SweepFolder) -> None:
    """Remove every checkpoint, and keep all results.

    Raises:
        LedgerError: If the sweep is running, or its folder cannot be written.
    """
    with locked(folder.path):
        for path in (folder.path / names.TRIALS).rglob("*.pt"):
            path.unlink(missing_ok=True)


def remove_sweep(folder: SweepFolder) -> None:
    """Remove a sweep folder with all its content. It is renamed first, so that no half-removed sweep remains.

    Raises:
        LedgerError: If the sweep is running, or its folder cannot be written.
        OSError: If a file in it cannot be removed.
    """
    going = folder.path.with_name(f".{folder.name[:80]}-removed-{time.time_ns()}")
    with locked(folder.path):
        folder.path.rename(going)
    shutil.rmtree(going)
