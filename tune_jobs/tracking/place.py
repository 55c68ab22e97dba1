"""Which runs and experiment belong to a sweep, even after its folder was moved, renamed or copied."""

import contextlib
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from search_spaces.settings import Tracking
from tune_jobs.errors import LedgerError
from tune_jobs.record.folder import SweepFolder, sweep_folders
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Home
from tune_jobs.tracking.address import is_default, store_of, tracker_of


@dataclass(frozen=True)
class Place:
    """Where a sweep is tracked."""

    uri: str
    experiment: str


def place_of(tracking: Tracking, folder: SweepFolder, ledger: Ledger, *, stays: bool = False) -> Place:
    """Return where to track a sweep, and record this folder in its ledger. The caller holds the sweep's lease.

    A renamed sweep keeps its experiment. A copy gets separate runs, in an experiment named after its folder unless the
    file names one, so it never writes to the original's. With `stays`, no variable moves the sweep to another tracker.
    """
    uri, meta = tracker_of(tracking.uri, folder, ledger, stays=stays), ledger.meta
    if _is_copy(folder, ledger, uri):
        ledger.forget_tracked()
        meta.tracked_as = uuid.uuid4().hex
        meta.tracker = meta.tracker_experiment = meta.tracker_experiment_id = None
    here = _here(folder)
    if meta.home != here:
        meta.home = here
    before = meta.tracker_experiment if meta.tracker == uri else None
    return Place(uri, tracking.experiment or before or folder.name)


def has_own_runs(folder: SweepFolder, ledger: Ledger) -> bool:
    """Whether the runs that the ledger records belong to this folder, not to the folder that it was copied from."""
    return ledger.meta.tracker is not None and not _is_copy(folder, ledger, ledger.meta.tracker)


def _here(folder: SweepFolder) -> Home:
    file = folder.ledger.stat()
    return Home(str(folder.path), file.st_dev, file.st_ino)


def _is_copy(folder: SweepFolder, ledger: Ledger, uri: str) -> bool:
    """Whether the runs that the ledger records belong to another folder that still exists.

    The original is at the path that the ledger records, or is the same file under another name. If neither is certain,
    two folders with the same record count as copies of each other, since duplicate runs do no harm.
    """
    home, here = ledger.meta.home or _earlier_home(ledger), _here(folder)
    if home is None or home.path == here.path or (home.device, home.inode) == (here.device, here.inode):
        return False
    original, storage = Path(home.path), folder.path.parent
    if is_default(uri, folder) and original.parent != storage:  # another storage folder has another store
        return False
    return any(_has_same_runs(other, folder, ledger) for other in _others(original, storage))


def _earlier_home(ledger: Ledger) -> Home | None:
    """Return the home of a 0.1.0 sweep: that version recorded none, but its store was in the folder."""
    store = store_of(ledger.meta.tracker) if ledger.meta.tracker else None
    if store is None or not SweepFolder(store.parent).ledger.exists():
        return None
    return Home(str(store.parent), 0, 0)


def _others(original: Path, storage: Path) -> Iterator[SweepFolder]:
    yield SweepFolder(original)
    yield from sweep_folders(storage)


def _has_same_runs(other: SweepFolder, folder: SweepFolder, ledger: Ledger) -> bool:
    with contextlib.suppress(OSError, LedgerError):
        if other.ledger.samefile(folder.ledger):
            return False
        with contextlib.closing(Ledger(other.ledger)) as there:
            return tracked_as(there) == tracked_as(ledger)
    return False


def tracked_as(ledger: Ledger) -> str:
    """Return the id by which a sweep's runs are found in its tracker."""
    return ledger.meta.tracked_as or ledger.meta.sweep_id
