"""The interface of a tracker, a service in which people compare sweeps.

A tracker follows the sweep's ledger in the background. The driver only starts and closes it, so training never waits
for it. After an outage, the tracker catches up from the ledger. It must keep

- for the sweep: its file, manifest, leaderboard, report, cost, and whether it has ended;
- for each trial: its configuration and every epoch that counts, once (each epoch from the last attempt that ran it),
  with the ledger's numbers and times, the machine, and how the trial ended;
- for the champion, after a confirmation has chosen its configuration, and if the tracker has a model registry: the
  trained model, one version for the same weights, and the alias `champion` on the recorded version.

It must show no password. It must write neither to the service nor to the ledger after `close` has returned.
"""

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.columns import Column
from tune_jobs.system.redaction import without_password

SAY_EVERY_S = 5.0

Say = Callable[[str], None]
Draw = Callable[[Say], Path | None]
"""Writes the report to the sweep's folder, or says why it cannot."""


@dataclass(frozen=True)
class Tracked:
    """Where to find a sweep in its tracker."""

    uri: str
    """Without a password."""

    experiment: str
    page: str | None
    """The web page of its trials; `None` if the tracker was never reached or has no server."""

    error: str | None = None
    """What the tracker's copy lacks, and why."""

    model: str | None = None
    """The address of the champion's model in the tracker, once it is registered."""


@dataclass(frozen=True)
class Destination:
    """The sweep to track, and where to track it."""

    folder: SweepFolder
    uri: str
    """The tracker, from `tracker_of`."""

    experiment: str
    tags: dict[str, str]
    """Tags for every new run."""

    draw: Draw

    columns: Sequence[Column] = ()
    """The fields that vary in the sweep."""

    tensorboard: bool = False
    """Whether to also write event files for TensorBoard to the sweep's folder."""


def missing_results(tracker: str, uri: str, sweep: str, reason: str) -> str:
    """Return the error of `Tracker.close` for a tracker with this name."""
    return f"{tracker} at {without_password(uri)} is missing results of {sweep}: {reason}"


class Tracker(Protocol):
    """Keeps a tracker up to date with one sweep's ledger."""

    name: str
    """The tracker's name, for people."""

    @property
    def left(self) -> int | None:
        """The number of trials with unsynced data; `None` before the first sync."""

    def start(self) -> None:
        """Start to follow the ledger, in the background."""

    def close(self, timeout_s: float, say: Say = ...) -> str | None:
        """Sync the remaining data and end the sweep in the tracker, as long as the tracker accepts data.

        Afterwards nothing more is sent, even if an exception ends the wait. `close` may be called without `start`.

        Args:
            timeout_s: Give up after this many seconds without success. Earlier silence counts, but the tracker gets one
                more try. With 0, give up immediately.
            say: Called every few seconds with the number of trials left.

        Returns:
            What is missing where, and why, if some data was not synced; see `missing_results`.
        """

    def tracked(self, ledger: Ledger, error: str | None = None) -> Tracked:
        """Return where the sweep is in the tracker, after a sync; `error` says why the sync is incomplete."""


def wait_for_end(
    tracker: Tracker, done: threading.Event, is_silent: Callable[[], bool], timeout_s: float, say: Say
) -> bool:
    """Wait for the thread of a closing tracker; return whether it has ended, and was not silent for too long before.

    Args:
        tracker: The tracker.
        done: Set when its thread has ended.
        is_silent: Whether nothing has succeeded for `timeout_s`.
        timeout_s: See `Tracker.close`.
        say: Called every few seconds with the number of trials left.
    """
    say_next = time.monotonic() + SAY_EVERY_S
    while not done.wait(min(0.1, timeout_s)):
        if tracker.left and time.monotonic() >= say_next:
            say(f"{tracker.left} trials left ...")
            say_next = time.monotonic() + SAY_EVERY_S
        if is_silent():
            return False
    return True


OpenTracker = Callable[[Destination], Tracker]
