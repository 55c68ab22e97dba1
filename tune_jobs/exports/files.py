"""New files, written completely or not at all; an existing file is never overwritten."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.system.files import is_full, replaced_whole


def require_new(file: Path) -> None:
    """Refuse a file that exists.

    Raises:
        UsageError: If the file exists.
    """
    if file.exists():
        raise UsageError(f"{file} already exists and is not overwritten; give another file.")


@contextlib.contextmanager
def new_file(file: Path) -> Iterator[Path]:
    """Yield a temporary path for a new file, which appears only when it is complete.

    Raises:
        UsageError: If the file exists.
        LedgerError: If it cannot be written.
    """
    require_new(file)
    try:
        with replaced_whole(file) as part:
            yield part
    except OSError as error:
        way_out = "free space there" if is_full(error) else "give a file in an existing, writable folder"
        raise LedgerError(f"{file} cannot be written: {error.strerror or error}; {way_out}.") from error
