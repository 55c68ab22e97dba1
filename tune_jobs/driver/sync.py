"""Updates a tracker from the ledger of a sweep that is not running."""

import contextlib
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial

from tune_jobs.errors import SweepError, TrackerError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.record.lease import lease, live_driver
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.manifest import manifest_tags, recorded_starts
from tune_jobs.report import draw_at_end
from tune_jobs.results.columns import recorded_columns
from tune_jobs.system.redaction import without_password
from tune_jobs.tracking.base import Destination, Say, Tracked
from tune_jobs.tracking.place import place_of
from tune_jobs.tracking.registry import open_tracker

SAY_EVERY_S = 2.0

SYNC_PATIENCE_S = 40.0
"""`sync` gives up after this many seconds without success; a single call may take 30 s."""


def sync_recorded(folder: SweepFolder, say: Say = lambda _: None, *, stays: bool = False) -> Tracked:
    """Send everything that a recorded sweep's tracker lacks, and return where the sweep is tracked.

    With `stays`, MLFLOW_TRACKING_URI does not move the sweep to another tracker, and only problems are reported.

    Raises:
        LedgerError: If the sweep is running: then its driver sends the data.
        TrackerError: As `sync`.
    """
    spec = recorded_spec(folder)
    with lease(folder.path):
        with closing(Ledger(folder.ledger, create=True)) as ledger:
            ledger.interrupt_running()
            place = place_of(spec.tracking, folder, ledger, stays=stays)
        starts = recorded_starts(folder)
        tags = manifest_tags(starts[-1]) if starts else {}
        if not stays:
            say(f"syncing {folder.name} to {without_password(place.uri)} ...")
        return sync(folder, place.uri, place.experiment, tags, say, tensorboard=spec.tracking.tensorboard)


def recorded_place(folder: SweepFolder) -> Tracked | None:
    """Return where a sweep is tracked according to its ledger; `None` if it never was.

    Raises:
        LedgerError: If the ledger cannot be read.
    """
    with closing(Ledger(folder.ledger)) as ledger:
        uri, experiment = ledger.meta.tracker, ledger.meta.tracker_experiment
        if uri is None or experiment is None:
            return None
        return open_tracker(Destination(folder, uri, experiment, {}, lambda _: None)).tracked(ledger)


def experiment_of(folder: SweepFolder) -> tuple[str, str, str] | None:
    """Return the id of a sweep's experiment in the tracker, the sweep's metric, and its goal (maximize or minimize)."""
    with closing(Ledger(folder.ledger)) as ledger:
        number = ledger.meta.tracker_experiment_id
        return None if number is None else (number, ledger.meta.metric, ledger.meta.goal)


def bring_in(folders: Sequence[SweepFolder], say: Say) -> dict[str, Tracked]:
    """Send what the trackers of sweeps lack, and return where each tracked sweep is, by name.

    The driver of a running sweep sends its data itself. A problem with one sweep is reported, and does not affect the
    others.
    """
    places: dict[str, Tracked | None] = {}
    said = time.monotonic()
    for number, folder in enumerate(folders, 1):
        if time.monotonic() > said + SAY_EVERY_S:
            say(f"{folder.name}, {number} of {len(folders)} ...")
            said = time.monotonic()
        try:
            running = live_driver(folder.path) is not None
            places[folder.name] = recorded_place(folder) if running else sync_recorded(folder, say, stays=True)
        except SweepError as error:
            say(f"{folder.name}: {error}")
            with contextlib.suppress(SweepError):
                places[folder.name] = recorded_place(folder)
    return {name: place for name, place in places.items() if place is not None}


def sync(
    folder: SweepFolder,
    uri: str,
    experiment: str,
    tags: dict[str, str],
    say: Say = lambda _: None,
    *,
    patience_s: float = SYNC_PATIENCE_S,
    tensorboard: bool = False,
) -> Tracked:
    """Send everything that the tracker at `uri` lacks, and return where the sweep is tracked.

    Args:
        folder: The sweep; the caller holds its lease, and none of its attempts is running.
        uri: The tracker, from `place_of`.
        experiment: The experiment there.
        tags: The tags of new runs.
        say: Receives progress messages.
        patience_s: Give up after this many seconds without success.
        tensorboard: Also write event files for TensorBoard.

    Raises:
        TrackerError: If the tracker cannot be reached, or refuses some of the data; everything else is sent.
    """
    draw = partial(draw_at_end, folder, 0)
    tracker = open_tracker(
        Destination(folder, uri, experiment, tags, draw, recorded_columns(folder), tensorboard=tensorboard)
    )
    error = tracker.close(patience_s, say)
    if error is not None:
        raise TrackerError(f"{error}; fix that, then: convnn sync {folder.name}")
    with closing(Ledger(folder.ledger, upgrade=True)) as ledger:
        return tracker.tracked(ledger)
