"""What a sweep needs of a tracker, which is a place where people compare sweeps.

A tracker follows the sweep's ledger on its own: the driver starts and closes it, and tells it nothing. So training
never waits for it, and whatever it misses while it is away, it has when it is back. It must keep

- of the sweep its file, its manifest, its leaderboard and report, what it cost, and whether it has ended;
- of each trial its configuration and every epoch that counts (each from the last attempt that ran it), once, by the
  ledger's numbers and times, where it ran, and how it ended;

- of its champion, once a confirmation has said which configuration that is, the trained model, where the tracker has a
  place for models: one version for the same weights, and the name `champion` on the one that the record says;

and must show no password, and write neither to its place nor to the ledger once `close` has returned.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.columns import Column

Say = Callable[[str], None]
Draw = Callable[[Say], Path | None]
"""Draws the report into the sweep's folder, or says why there is none."""


@dataclass(frozen=True)
class Tracked:
    """Where a sweep is in its tracker."""

    uri: str
    """Without a password."""

    experiment: str
    page: str | None
    """Where a browser shows its trials; `None` where the tracker was never reached, or has no server."""

    error: str | None = None
    """Why it does not have everything."""

    model: str | None = None
    """The address of the champion's model there, once it is."""


@dataclass(frozen=True)
class Destination:
    """What is tracked, and where."""

    folder: SweepFolder
    uri: str
    """The tracker, from `tracker_of`."""

    experiment: str
    tags: dict[str, str]
    """What everything new is tagged with."""

    draw: Draw

    columns: Sequence[Column] = ()
    """What varies in the sweep."""

    tensorboard: bool = False
    """Whether the sweep's folder gets event files for TensorBoard, too."""


class Tracker(Protocol):
    """Brings its place up to one sweep's ledger."""

    name: str
    """What people call the tracker."""

    @property
    def left(self) -> int | None:
        """Trials of which something is to be shipped; `None` before the first look."""

    def start(self) -> None:
        """Begin to follow the ledger, in the background."""

    def close(self, timeout_s: float, say: Say = ...) -> str | None:
        """Ship what is left and end the sweep there, as long as the tracker takes something.

        Afterwards nothing more is shipped, also where an exception ends the wait. It may be called without `start`.

        Args:
            timeout_s: Give up after so long without success. Silence from before counts too, but the tracker gets one
                more try. With 0, give up at once.
            say: Is told every few seconds how many trials are left.

        Returns:
            The reason if something is not shipped.
        """

    def tracked(self, ledger: Ledger, error: str | None = None) -> Tracked:
        """Where the sweep is, now that it was shipped, or was to be; `error` says why not everything is there."""


OpenTracker = Callable[[Destination], Tracker]
