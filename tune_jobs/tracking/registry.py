"""Trackers by name: an address `NAME://...` selects the tracker NAME, any other address MLflow."""

from tune_jobs.record.ledger import Ledger
from tune_jobs.tracking.base import Destination, OpenTracker, Say, Tracked, Tracker
from tune_jobs.tracking.mlflow.shipper import MLflowTracker
from tune_jobs.tracking.tensorboard.tracker import TensorBoardTracker

MLFLOW = "mlflow"
_TRACKERS: dict[str, OpenTracker] = {MLFLOW: MLflowTracker}


def add_tracker(name: str, open_it: OpenTracker) -> None:
    """Register another tracker for addresses `NAME://...`."""
    _TRACKERS[name] = open_it


def open_tracker(destination: Destination) -> Tracker:
    """Open the tracker for an address; `tensorboard` adds event files for TensorBoard."""
    name, _, _ = destination.uri.partition("://")
    tracker = _TRACKERS.get(name, _TRACKERS[MLFLOW])(destination)
    return _WithEventFiles(tracker, TensorBoardTracker(destination)) if destination.tensorboard else tracker


class _WithEventFiles(Tracker):
    """A tracker and event files; an error in one does not affect the other."""

    def __init__(self, tracker: Tracker, files: Tracker) -> None:
        self.name = tracker.name
        self._tracker, self._files = tracker, files

    @property
    def left(self) -> int | None:
        """Return the number for the tracker; the files follow closely."""
        return self._tracker.left

    def start(self) -> None:
        """Start both."""
        self._files.start()
        self._tracker.start()

    def close(self, timeout_s: float, say: Say = lambda _: None) -> str | None:
        """Close both, the files first, since they need no server."""
        try:
            missing = self._files.close(timeout_s, say)
        except BaseException:
            self._tracker.close(0, say)
            raise
        return "; ".join(filter(None, (self._tracker.close(timeout_s, say), missing))) or None

    def tracked(self, ledger: Ledger, error: str | None = None) -> Tracked:
        """Return where the sweep is in the tracker."""
        return self._tracker.tracked(ledger, error)
