"""Removes a sweep or moves it aside, together with its runs in a shared tracking store."""

from contextlib import closing

from tune_jobs.errors import LedgerError, TrackerError
from tune_jobs.record.disk import remove_sweep
from tune_jobs.record.folder import SweepFolder, set_aside
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.mlflow.removal import in_store, move_runs, remove_runs


def remove(folder: SweepFolder) -> tuple[str, ...]:
    """Remove a sweep, and return notes on its runs in the tracker.

    Its runs in a shared store are removed first: otherwise the folder would bring them back.

    Raises:
        LedgerError: If the sweep is running, or its folder cannot be written.
    """
    told: tuple[str, ...] = ()
    try:
        with lease(folder.path), closing(Ledger(folder.ledger)) as ledger:
            there = in_store(folder, ledger)
            told = there.stays
            if there.store is not None:
                told = (remove_runs(folder, ledger), *told)
    except TrackerError as error:
        told = (f"Its runs in MLflow stay: {error}", *told)
    except LedgerError:  # a damaged ledger is removed as well; one in use is refused below
        pass
    remove_sweep(folder)
    return told


def start_over(folder: SweepFolder) -> tuple[SweepFolder, tuple[str, ...]]:
    """Move a sweep folder aside, and its experiment in a shared store with it.

    Returns:
        The folder's new place, and notes on its runs in the tracker.

    Raises:
        LedgerError: If the sweep is running.
    """
    aside = set_aside(folder)
    told: tuple[str, ...] = ()
    try:
        with lease(aside.path), closing(Ledger(aside.ledger, upgrade=True)) as ledger:
            there = in_store(aside, ledger)
            told = there.stays
            if there.store is not None:
                told = (move_runs(aside, ledger), *told)
    except (LedgerError, TrackerError) as error:
        told = (f"Its runs in MLflow stay where they are: {error}", *told)
    return aside, told
