"""Trackers by name: an address `NAME://...` selects the tracker NAME, any other address MLflow."""

from tune_jobs.tracking.base import Destination, OpenTracker, Tracker
from tune_jobs.tracking.mlflow.shipper import MLflowTracker

MLFLOW = "mlflow"
_TRACKERS: dict[str, OpenTracker] = {MLFLOW: MLflowTracker}


def add_tracker(name: str, open_it: OpenTracker) -> None:
    """Register another tracker for addresses `NAME://...`."""
    _TRACKERS[name] = open_it


def open_tracker(destination: Destination) -> Tracker:
    """Open the tracker for an address."""
    name, _, _ = destination.uri.partition("://")
    return _TRACKERS.get(name, _TRACKERS[MLFLOW])(destination)
