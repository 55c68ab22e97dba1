"""Sweeps: search, run, record, report; and the command line.

Names are loaded on first use, so that reading a sweep's record needs neither Ray nor torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tune_jobs.attempt import train
    from tune_jobs.continuing import Selection, extend, resume, retry
    from tune_jobs.errors import ClusterError, LedgerError, SweepError, TrackerError, UsageError
    from tune_jobs.halt import Halt
    from tune_jobs.ledger import Ledger
    from tune_jobs.report import write_report
    from tune_jobs.results import Standing, course, read_standing
    from tune_jobs.runner import Outcome, run
    from tune_jobs.storage import SweepFolder, find_sweep, sweep_folders
    from tune_jobs.tracking import sync

_HOMES = {
    "ClusterError": "errors",
    "Halt": "halt",
    "Ledger": "ledger",
    "LedgerError": "errors",
    "Outcome": "runner",
    "Selection": "continuing",
    "Standing": "results",
    "SweepError": "errors",
    "SweepFolder": "storage",
    "TrackerError": "errors",
    "UsageError": "errors",
    "course": "results",
    "extend": "continuing",
    "find_sweep": "storage",
    "read_standing": "results",
    "resume": "continuing",
    "retry": "continuing",
    "run": "runner",
    "sweep_folders": "storage",
    "sync": "tracking",
    "train": "attempt",
    "write_report": "report",
}

__all__ = [
    "ClusterError",
    "Halt",
    "Ledger",
    "LedgerError",
    "Outcome",
    "Selection",
    "Standing",
    "SweepError",
    "SweepFolder",
    "TrackerError",
    "UsageError",
    "course",
    "extend",
    "find_sweep",
    "read_standing",
    "resume",
    "retry",
    "run",
    "sweep_folders",
    "sync",
    "train",
    "write_report",
]


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'tune_jobs' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(f"tune_jobs.{_HOMES[name]}"), name)
