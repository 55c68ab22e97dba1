"""Stops a sweep that another process runs, or one of its trials."""

import contextlib
import os
import signal
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import to_stop
from tune_jobs.record.rows import ENDED, State
from tune_jobs.results.row import Row
from tune_jobs.results.summary import read_summary
from tune_jobs.system.processes import is_here

_LOOK_S, _LOOK_AT_TRIAL_S = 0.2, 0.5


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
        _wait(folder, seconds, lambda: _ask(folder, folder.pause_file))
    finally:
        folder.pause_file.unlink(missing_ok=True)


def stop_trial(folder: SweepFolder, trial: str, seconds: float, say: Callable[[str], None] = lambda _: None) -> Row:
    """Ask the driver of a sweep, on whatever machine, to end one running trial after its epoch, and wait for it.

    The driver records the request when it takes it up, and from then on it holds: an attempt that is lost ends with the
    first new epoch of the next one. A trial that ends by itself in the same moment stays as it ended.

    Returns:
        The trial as it has ended.

    Raises:
        UsageError: If there is no such trial, it is not running, or nothing runs the sweep.
        LedgerError: If it has not ended within `seconds`, the driver ended before, or the folder cannot be written.
    """
    row = read_summary(folder).trial(trial)
    _require_running(folder, row)
    say("waiting for the end of its epoch ...")
    asked, deadline = folder.stop_trials / row.run_key, time.monotonic() + seconds
    try:
        while True:
            driven = live_driver(folder.path) is not None
            with closing(Ledger(folder.ledger)) as ledger:
                state, taken_up = _state(ledger, row.run_key), row.run_key in to_stop(ledger.requests())
            if state in ENDED:
                return read_summary(folder).trial(row.run_key)
            if not driven or time.monotonic() > deadline:
                raise LedgerError(_not_ended(folder, row, driven=driven, taken_up=taken_up))
            if not taken_up:
                _ask(folder, asked)
            time.sleep(_LOOK_AT_TRIAL_S)
    finally:
        asked.unlink(missing_ok=True)


def _state(ledger: Ledger, run_key: str) -> State:
    return next(trial.state for trial in ledger.trials() if trial.run_key == run_key)


def asked_to_stop(folder: SweepFolder) -> list[str]:
    """The run keys of trials that people ask to be stopped; each request is told once."""
    try:
        asked = sorted(folder.stop_trials.iterdir())
    except OSError:
        return []
    for path in asked:
        with contextlib.suppress(OSError):
            path.unlink()
    return [path.name for path in asked]


def forget_requests(folder: SweepFolder) -> None:
    """Remove what people asked through the folder and no driver has taken up."""
    folder.pause_file.unlink(missing_ok=True)
    asked_to_stop(folder)
    with contextlib.suppress(OSError):
        folder.stop_trials.rmdir()


def _require_running(folder: SweepFolder, row: Row) -> None:
    name, number = folder.name, row.number
    driven = live_driver(folder.path) is not None
    if driven and row.state == "running":
        return
    state = "due again" if not driven and row.state == "running" else row.state
    way_out = f"it is {state}."
    if row.state not in ENDED:
        first = f"convnn stop {name}, then " if driven else ""
        way_out = f"it is {state}; to leave it out: {first}convnn exclude {name} {number} --why ..."
    what = f"trial {number} of {name} is not running" if driven else f"{name} is not running, nor is its trial {number}"
    raise UsageError(f"{what}; {way_out}")


def _not_ended(folder: SweepFolder, row: Row, *, driven: bool, taken_up: bool) -> str:
    name = folder.name
    if driven:
        look = f"convnn show {name} {row.number}"
        return f"trial {row.number} of {name} was asked to stop, and has not yet; look again with: {look}"
    then = "ends it after its next epoch" if taken_up else "goes on with it"
    return f"the driver of {name} ended before trial {row.number} did; this {then}: convnn resume {name}"


def _ask(folder: SweepFolder, file: Path) -> None:
    try:
        if file.parent != folder.path:
            file.parent.mkdir(exist_ok=True)
        file.touch()
    except FileNotFoundError:  # a driver that has just started forgets what was asked before; it is asked again
        pass
    except OSError as error:
        raise LedgerError(
            f"{folder.path} cannot be written: {error.strerror}, so its driver cannot be asked."
        ) from error


def _driver(folder: SweepFolder) -> dict[str, Any]:
    driver = live_driver(folder.path)
    if driver is None:
        raise UsageError(f"{folder.name} is not running. To see its state: convnn status {folder.name}")
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
