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
    """Stop the driver of a sweep with a signal, and wait until it has ended.

    Return `False`, and do nothing, if the driver cannot be signalled from here: it runs on another machine or in
    another container, or its recorded process does not match a running one.

    Raises:
        UsageError: If the sweep is not running.
        LedgerError: If the driver has not ended within `seconds`.
    """
    driver = _driver(folder)
    if not is_here(driver.get("process")):
        return False
    with contextlib.suppress(ProcessLookupError):  # it has just ended
        os.kill(driver["process"]["pid"], signal.SIGTERM)
    _wait(folder, seconds)
    return True


def ask_to_pause(folder: SweepFolder, seconds: float) -> None:
    """Ask the driver of a sweep, on any machine, to stop after the epoch of every running trial, and wait for it.

    Raises:
        UsageError: If the sweep is not running.
        LedgerError: If the driver has not ended within `seconds`, or the folder cannot be written.
    """
    _driver(folder)
    try:
        _wait(folder, seconds, lambda: _ask(folder, folder.pause_file))
    finally:
        folder.pause_file.unlink(missing_ok=True)


def stop_trial(folder: SweepFolder, trial: str, seconds: float, say: Callable[[str], None] = lambda _: None) -> Row:
    """Ask the driver of a sweep, on any machine, to end one running trial after its epoch, and wait for it.

    Once the driver has recorded the request, it stays in force: if the attempt is lost, the trial ends with the first
    new epoch of its next attempt. A trial that ends by itself at the same moment keeps its own end state.

    Returns:
        The ended trial.

    Raises:
        UsageError: If the trial does not exist or is not running, or the sweep is not running.
        LedgerError: If the trial has not ended within `seconds`, the driver ended first, or the folder cannot be
            written.
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
    """Return the run keys of trials that users asked to stop; each request is returned once."""
    try:
        asked = sorted(folder.stop_trials.iterdir())
    except OSError:
        return []
    for path in asked:
        with contextlib.suppress(OSError):
            path.unlink()
    return [path.name for path in asked]


def forget_requests(folder: SweepFolder) -> None:
    """Remove the requests in the folder that no driver has read."""
    folder.pause_file.unlink(missing_ok=True)
    asked_to_stop(folder)
    with contextlib.suppress(OSError):
        folder.stop_trials.rmdir()


def _require_running(folder: SweepFolder, row: Row) -> None:
    name, number = folder.name, row.number
    driven = live_driver(folder.path) is not None
    if driven and row.state == "running":
        return
    state = "pending" if not driven and row.state == "running" else row.state
    what = f"trial {number} of {name} is not running; it" if driven else f"{name} is not running; its trial {number}"
    way_out = ""
    if row.state not in ENDED:
        first = f"convnn stop {name}, then " if driven else ""
        way_out = f"; to exclude it: {first}convnn exclude {name} {number} --why ..."
    raise UsageError(f"{what} is {state}{way_out or '.'}")


def _not_ended(folder: SweepFolder, row: Row, *, driven: bool, taken_up: bool) -> str:
    name = folder.name
    if driven:
        look = f"convnn show {name} {row.number}"
        return f"trial {row.number} of {name} was asked to stop, but has not stopped yet; check again with: {look}"
    then = "end it after its next epoch" if taken_up else "continue it"
    return f"the driver of {name} ended before trial {row.number}; to {then}: convnn resume {name}"


def _ask(folder: SweepFolder, file: Path) -> None:
    try:
        if file.parent != folder.path:
            file.parent.mkdir(exist_ok=True)
        file.touch()
    except FileNotFoundError:  # a driver that has just started removes earlier requests; the caller asks again
        pass
    except OSError as error:
        raise LedgerError(
            f"{folder.path} cannot be written: {error.strerror}, so the request cannot reach its driver."
        ) from error


def _driver(folder: SweepFolder) -> dict[str, Any]:
    driver = live_driver(folder.path)
    if driver is None:
        raise UsageError(f"{folder.name} is not running. To see its state: convnn status {folder.name}")
    return driver


def _wait(folder: SweepFolder, seconds: float, ask: Callable[[], None] = lambda: None) -> None:
    """Wait until the driver ends, and ask repeatedly: a driver that has just started removes earlier requests."""
    deadline = time.monotonic() + seconds
    while live_driver(folder.path) is not None:
        ask()
        if time.monotonic() > deadline:
            raise LedgerError(
                f"{folder.name} was asked to stop, but has not stopped within {seconds:g} s; check again with: convnn "
                f"status {folder.name}"
            )
        time.sleep(_LOOK_S)
