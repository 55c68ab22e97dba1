"""`convnn rm`."""

import contextlib
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Annotated

import typer

from tune_jobs.cli.shared.options import Storage, Sweep, Yes, confirmed, storage_of
from tune_jobs.errors import ExitCode, LedgerError, UsageError
from tune_jobs.record.disk import disk_of, remove_checkpoints
from tune_jobs.record.folder import SweepFolder, find_sweep
from tune_jobs.record.lease import live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.files import size_text

if TYPE_CHECKING:
    from tune_jobs.tracking.mlflow.removal import InStore


def rm(
    sweep: Sweep,
    storage: Storage = None,
    *,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Remove only the checkpoints, and keep the results.")
    ] = False,
    address: Annotated[
        str | None,
        typer.Option("--address", metavar="URL", help="Not supported: rm removes sweeps on this machine only."),
    ] = None,
    yes: Yes = False,
) -> None:
    """Remove a sweep, or only its checkpoints, from this machine's disk. Example: convnn rm mine --checkpoints.

    A running sweep is refused. In the MLflow store of the storage folder, the sweep's experiment and its champion's
    registered model are deleted, and everything else there stays. Runs on another tracker also stay.
    """
    if address:
        raise UsageError(
            f"rm works on this machine's sweeps only. Fetch what you want to keep: convnn fetch {sweep} --address "
            f"{address}, then run on the cluster: convnn rm {sweep}"
        )
    folder = find_sweep(sweep, storage_of(storage))
    from tune_jobs.driver.removal import remove

    driver = live_driver(folder.path)
    if driver is not None:
        who = f"process {driver['pid']} on {driver['host']}"
        raise UsageError(f"{sweep} is running in {who}; stop it first: convnn stop {sweep}")
    disk = disk_of(folder)
    if checkpoints:
        freed = size_text(disk.checkpoints)
        _ask(f"Remove the checkpoints of {sweep}, {freed}? Unfinished trials will start over.", yes=yes)
        remove_checkpoints(folder)
        print(f"{freed} freed; all results of {sweep} are kept.")
        return
    tracked = _in_mlflow(folder)
    model = f", and its registered model: {tracked.model}" if tracked.model else ""
    shared = f" Its runs in {tracked.store} are also deleted{model}." if tracked.store else ""
    _ask(f"Remove {folder.path} and everything in it, {size_text(disk.all)}?{shared}{_all(tracked.stays)}", yes=yes)
    told = remove(folder)
    print(f"{size_text(disk.all)} freed; the name {sweep} is free again.{_all(told)}")


def _ask(question: str, *, yes: bool) -> None:
    if not confirmed(question, yes=yes):
        print("nothing was removed", file=sys.stderr)
        raise typer.Exit(ExitCode.FAILED)


def _in_mlflow(folder: SweepFolder) -> "InStore":
    from tune_jobs.tracking.mlflow.removal import InStore, in_store

    with contextlib.suppress(LedgerError), contextlib.closing(Ledger(folder.ledger)) as ledger:
        return in_store(folder, ledger)
    return InStore(None, ())


def _all(sentences: Iterable[str]) -> str:
    return "".join(f" {sentence}" for sentence in sentences)
