"""Stops a sweep that another process runs."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from typing import Any

from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import live_driver
from tune_jobs.system.processes import is_here

_LOOK_S = 0.2


def stop_here(folder: SweepFolder, seconds: float) -> bool:
    """Stop the driver of a sweep by a signal, and wait until it has ended.

    `False` if it cannot be signalled from here, as its process is one of another machine or container, or as what is
    noted of it fits no process: then nothing was done.

    Raises:
        UsageError: If nothing runs the sweep.
        LedgerError: If it has not ended within `seconds`.
    """
    driver = _driver(folder)
    if not is_here(driver.get("process")):
        return False
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(driver["process"]["pid"], signal.SIGTERM)
    _wait(folder, seconds)
    return True


def ask_to_pause(folder: SweepFolder, seconds: float) -> None:
    """Ask the driver of a sweep, on whatever machine, to stop after the epoch of every running trial, and wait for it.

    Raises:
        UsageError: If nothing runs the sweep.
        LedgerError: If it has not ended within `seconds`, or the folder cannot be written.
    """
    _driver(folder)
    try:
        _wait(folder, seconds, lambda: _ask(folder))
    finally:
        folder.pause_file.unlink(missing_ok=True)


def _ask(folder: SweepFolder) -> None:
    try:
        folder.pause_file.touch()
    except OSError as error:
        raise LedgerError(
            f"{folder.path} cannot be written: {error.strerror}, so its driver cannot be asked."
        ) from error


def _driver(folder: SweepFolder) -> dict[str, Any]:
    driver = live_driver(folder.path)
    if driver is None:
        raise UsageError(f"nothing runs {folder.name}; `convnn status {folder.name}` says how it stands.")
    return driver


def _wait(folder: SweepFolder, seconds: float, ask: Callable[[], None] = lambda: None) -> None:
    """Ask, again and again: a driver that has just started forgets what an earlier one was asked."""
    deadline = time.monotonic() + seconds
    while live_driver(folder.path) is not None:
        ask()
        if time.monotonic() > deadline:
            raise LedgerError(
                f"{folder.name} was asked to stop, and has not within {seconds:g} s; look again with: convnn status "
                f"{folder.name}"
            )
        time.sleep(_LOOK_S)
