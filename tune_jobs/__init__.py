"""Sweeps: search, run, record, report; and the command line.

Names are loaded on first use, so that reading a sweep's record needs neither Ray nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tune_jobs.attempt import train
    from tune_jobs.errors import ClusterError, LedgerError, SweepError, UsageError
    from tune_jobs.ledger import Ledger
    from tune_jobs.results import Standing, course, read_standing
    from tune_jobs.runner import Outcome, run
    from tune_jobs.storage import SweepFolder, find_sweep, sweep_folders

_HOMES = {
    "ClusterError": "errors",
    "Ledger": "ledger",
    "LedgerError": "errors",
    "Outcome": "runner",
    "Standing": "results",
    "SweepError": "errors",
    "SweepFolder": "storage",
    "UsageError": "errors",
    "course": "results",
    "find_sweep": "storage",
    "read_standing": "results",
    "run": "runner",
    "sweep_folders": "storage",
    "train": "attempt",
}

__all__ = [
    "ClusterError",
    "Ledger",
    "LedgerError",
    "Outcome",
    "Standing",
    "SweepError",
    "SweepFolder",
    "UsageError",
    "course",
    "find_sweep",
    "read_standing",
    "run",
    "sweep_folders",
    "train",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tune_jobs' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"tune_jobs.{_HOMES[name]}"), name)
