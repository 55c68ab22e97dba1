"""Takes a sweep away, or out of the way, together with what the store that it shares has of it."""

from contextlib import closing

from tune_jobs.errors import LedgerError, TrackerError
from tune_jobs.record.disk import remove_sweep
from tune_jobs.record.folder import SweepFolder, set_aside
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.mlflow.removal import in_store, move_runs, remove_runs


def remove(folder: SweepFolder) -> tuple[str, ...]:
    """Remove a sweep, its runs in the shared store first: its folder alone would bring them back; what became of them.

    Raises:
        LedgerError: If it is being run, or its folder cannot be written.
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
    except LedgerError:  # a damaged record is removed as well; one in use is refused below
        pass
    remove_sweep(folder)
    return told


def start_over(folder: SweepFolder) -> tuple[SweepFolder, tuple[str, ...]]:
    """Move a sweep's folder aside, and its experiment in the shared store with it; where it is, and what became of it.

    Raises:
        LedgerError: If it is being run.
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
