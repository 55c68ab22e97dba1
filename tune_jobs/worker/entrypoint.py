"""One attempt, from its task to its last report, for any objective and any executor."""

import math
import socket
from collections.abc import Callable, Iterator

from tune_jobs.worker.classify import classify
from tune_jobs.worker.reports import AttemptFailed, EpochDone, Report, StoppedWithSweep
from tune_jobs.worker.task import Task

Objective = Callable[[Task], Iterator[Report]]
"""Trains a task: yields the epoch it resumes from, then each epoch; ends early if the sweep stops."""


def run_attempt(task: Task, report: Callable[[Report], None], objective: Objective) -> None:
    """Run an attempt to its end, and report its progress."""
    for told in reports_of(task, objective):
        report(told)


def reports_of(task: Task, objective: Objective) -> Iterator[Report]:
    """Yield the reports of an attempt as they occur. An error becomes the last report."""
    last = 0
    try:
        for report in objective(task):
            if isinstance(report, EpochDone):
                if (diverged := _diverged(report)) is not None:
                    yield diverged
                    return
                last = report.epoch
            yield report
    except Exception as error:  # noqa: BLE001 - it is the result of this trial, and must not end the sweep
        yield failed(error)
    else:
        if last < task.config.training.epochs:
            yield StoppedWithSweep()


def _diverged(report: EpochDone) -> AttemptFailed | None:
    """Return a failure if a metric of the epoch is not finite."""
    bad = next((item for item in report.metrics.items() if not math.isfinite(item[1])), None)
    return AttemptFailed("diverged", f"{bad[0]} became {bad[1]} at epoch {report.epoch}") if bad else None


def failed(error: Exception) -> AttemptFailed:
    """Convert an exception of an attempt to a report."""
    failure = classify(error)
    reason = str(error) if failure in ("diverged", "data") else f"{type(error).__name__}: {error}".splitlines()[0]
    if failure == "data":
        reason = f"{reason} (on {socket.gethostname()})"
    return AttemptFailed(failure, reason)
