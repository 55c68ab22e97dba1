"""The Ray Tune worker: runs one attempt, reports every epoch, and writes its output to the attempt's folder."""

import contextlib
import logging
import os
import socket
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tune_jobs.record.names import LOG
from tune_jobs.system.garbage import collect_rarely
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.entrypoint import failed, run_attempt
from tune_jobs.worker.reports import Begun, EpochDone, Report, encode
from tune_jobs.worker.sizing import SIZES
from tune_jobs.worker.task import Task, decode_task


def train_attempt(sent: dict[str, Any]) -> None:
    """Run the attempt of a task; this is Tune's trainable."""
    import ray
    from ray import tune

    collect_rarely()
    # Tune reuses a worker only after its last trial's thread has ended; if the wait times out, it tells no one.
    os.environ.setdefault("TUNE_FUNCTION_THREAD_TIMEOUT_S", "300")
    task = decode_task(sent)

    def report(told: Report) -> None:
        tune.report(encode(told))

    report(Begun(ray.get_runtime_context().get_node_id(), socket.gethostname(), task.ledger.exists()))
    run_attempt(task, report, _logged)


def _logged(task: Task) -> Iterator[Report]:
    """Train, with all output in the attempt's `log.txt`."""
    task.folder.mkdir(parents=True, exist_ok=True)
    _log_into(task.folder / LOG)
    last = 0
    try:
        for report in train_task(task):
            if isinstance(report, EpochDone):
                last = report.epoch
                print(_line(report, task.config.training.epochs), flush=True)
            yield report
    except Exception as error:
        _print(error)
        raise
    if last < task.config.training.epochs:
        print("stopped with the sweep", flush=True)


def _line(done: EpochDone, epochs: int) -> str:
    numbers = (f"{name} {value:.4g}" for name, value in done.metrics.items() if name not in SIZES)
    return "  ".join((f"epoch {done.epoch}/{epochs}", *numbers))


def _print(error: Exception) -> None:
    told = failed(error)
    with contextlib.suppress(OSError):  # the disk may be full
        if told.failure != "diverged":
            traceback.print_exc()
        print(f"{told.failure}: {told.reason}", flush=True)


def _log_into(file: Path) -> None:
    """Send this process's output to `file`. A process that runs several attempts switches from file to file."""
    descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os.dup2(descriptor, 1)
    os.dup2(descriptor, 2)
    os.close(descriptor)
    logging.basicConfig(level=logging.INFO, stream=sys.__stderr__, format="%(message)s", force=True)
