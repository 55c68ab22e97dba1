"""Brings a tracker up to the record of a sweep that nobody runs."""

from contextlib import closing
from functools import partial

from tune_jobs.errors import TrackerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.report import draw_at_end
from tune_jobs.results.columns import recorded_columns
from tune_jobs.system.redaction import without_password
from tune_jobs.tracking.base import Destination, Say, Tracked
from tune_jobs.tracking.registry import open_tracker

SYNC_PATIENCE_S = 40.0
"""`sync` gives up after so long without success; a single call may take 30 s."""


def sync(
    folder: SweepFolder,
    uri: str,
    experiment: str,
    tags: dict[str, str],
    say: Say = lambda _: None,
    *,
    patience_s: float = SYNC_PATIENCE_S,
) -> Tracked:
    """Ship everything that the tracker at `uri` lacks; where the sweep is then.

    Args:
        folder: The sweep; the caller holds its lease, and no attempt in it is running.
        uri: The tracker, from `tracker_of`.
        experiment: The experiment there.
        tags: What new runs are tagged with.
        say: Is told how it goes.
        patience_s: Give up after so long without success.

    Raises:
        TrackerError: If it cannot be reached, or refuses something; everything else is shipped then.
    """
    say(f"shipping {folder.name} to {without_password(uri)} ...")
    draw = partial(draw_at_end, folder, 0)
    tracker = open_tracker(Destination(folder, uri, experiment, tags, draw, recorded_columns(folder)))
    error = tracker.close(patience_s, say)
    if error is not None:
        raise TrackerError(
            f"{tracker.name} at {without_password(uri)} does not have everything of {folder.name}: {error}; when that "
            f"is mended: convnn sync {folder.name}"
        )
    with closing(Ledger(folder.ledger, upgrade=True)) as ledger:
        return tracker.tracked(ledger)
