"""`convnn rm`."""

import contextlib
import sys
from typing import Annotated

import typer

from tune_jobs.cli.shared.options import Storage, Sweep, Yes, confirmed, storage_of
from tune_jobs.errors import LedgerError, UsageError
from tune_jobs.record.disk import disk_of, remove_checkpoints, remove_sweep
from tune_jobs.record.folder import SweepFolder, find_sweep
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.files import size_text
from tune_jobs.system.redaction import without_password
from tune_jobs.tracking.address import sqlite_file


def rm(
    sweep: Sweep,
    storage: Storage = None,
    *,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Free the checkpoints alone, and keep the results.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Remove a sweep, or its checkpoints alone, from this machine's disk. Example: convnn rm mine --checkpoints.

    A sweep that is being run is refused. What another tracker than the store in its folder has of it stays there.
    """
    folder = find_sweep(sweep, storage_of(storage))
    driver = live_driver(folder.path)
    if driver is not None:
        who = f"process {driver['pid']} on {driver['host']}"
        raise UsageError(f"{sweep} is being run by {who}; stop it first: convnn stop {sweep}")
    disk, elsewhere = disk_of(folder), _elsewhere(folder)
    if checkpoints:
        freed = size_text(disk.checkpoints)
        question = f"Remove the checkpoints of {sweep}, {freed}? What is unfinished starts over."
    else:
        question = f"Remove {folder.path} and everything in it, {size_text(disk.all)}?{elsewhere}"
    if not confirmed(question, yes=yes):
        print("nothing was removed", file=sys.stderr)
        raise typer.Exit(1)
    if checkpoints:
        remove_checkpoints(folder)
        print(f"{size_text(disk.checkpoints)} freed; the results of {sweep} are all there.")
        return
    remove_sweep(folder)
    print(f"{size_text(disk.all)} freed; another sweep can be called {sweep}.{elsewhere}")


def _elsewhere(folder: SweepFolder) -> str:
    """What becomes of its runs in MLflow, where these are not in its folder."""
    uri = experiment = None
    with contextlib.suppress(LedgerError), contextlib.closing(Ledger(folder.ledger)) as ledger:
        uri, experiment = ledger.meta.tracker, ledger.meta.tracker_experiment
    if uri is None or sqlite_file(uri) == folder.store:
        return ""
    return (
        f" Its runs stay in the experiment {experiment!r} of {without_password(uri)}, to which another sweep of this "
        f"name adds; an experiment that is deleted there keeps its name, until it is restored or gone for good "
        f"(mlflow gc)."
    )
