"""Run, record and report sweeps; and the command line.

Names are imported on first use, so reading a sweep's record needs neither Ray nor torch.
"""

import warnings
from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tune_jobs.driver.exclusion import exclude, include
    from tune_jobs.driver.limits import Halt
    from tune_jobs.driver.restart import Selection, extend, resume, retry
    from tune_jobs.driver.run import Outcome, run
    from tune_jobs.driver.sync import sync
    from tune_jobs.errors import ClusterError, LedgerError, SweepError, TrackerError, UsageError
    from tune_jobs.evidence.outcome import Confirmed
    from tune_jobs.evidence.public import confirm, open_confirmation
    from tune_jobs.loading import LoadedModel, load_model
    from tune_jobs.record.folder import SweepFolder, find_sweep, sweep_folders
    from tune_jobs.record.ledger import Ledger
    from tune_jobs.report import write_report
    from tune_jobs.results.history import history
    from tune_jobs.results.opening import SweepResults, open_sweep
    from tune_jobs.results.summary import Summary, read_summary
    from tune_jobs.worker.attempt import train

warnings.filterwarnings("ignore", message="IProgress not found")  # from tqdm in a notebook; we show no tqdm bars

_HOMES = {
    "ClusterError": "errors",
    "Confirmed": "evidence.outcome",
    "Halt": "driver.limits",
    "Ledger": "record.ledger",
    "LedgerError": "errors",
    "LoadedModel": "loading",
    "Outcome": "driver.run",
    "Selection": "driver.restart",
    "Summary": "results.summary",
    "SweepError": "errors",
    "SweepFolder": "record.folder",
    "SweepResults": "results.opening",
    "TrackerError": "errors",
    "UsageError": "errors",
    "confirm": "evidence.public",
    "exclude": "driver.exclusion",
    "extend": "driver.restart",
    "find_sweep": "record.folder",
    "history": "results.history",
    "include": "driver.exclusion",
    "load_model": "loading",
    "open_confirmation": "evidence.public",
    "open_sweep": "results.opening",
    "read_summary": "results.summary",
    "resume": "driver.restart",
    "retry": "driver.restart",
    "run": "driver.run",
    "sweep_folders": "record.folder",
    "sync": "driver.sync",
    "train": "worker.attempt",
    "write_report": "report",
}

__all__ = [
    "ClusterError",
    "Confirmed",
    "Halt",
    "Ledger",
    "LedgerError",
    "LoadedModel",
    "Outcome",
    "Selection",
    "Summary",
    "SweepError",
    "SweepFolder",
    "SweepResults",
    "TrackerError",
    "UsageError",
    "confirm",
    "exclude",
    "extend",
    "find_sweep",
    "history",
    "include",
    "load_model",
    "open_confirmation",
    "open_sweep",
    "read_summary",
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
