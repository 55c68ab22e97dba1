"""A sweep that nothing happens to, trained trial by trial in one process, without Ray: `alone FILE STORAGE`."""

import contextlib
import sys
from collections.abc import Iterator
from pathlib import Path

import torch  # noqa: F401 - first, as it looks at every module that is loaded
from rich.console import Console

from search_spaces import load_sweep
from tune_jobs.display.live import LogLines
from tune_jobs.driver.run import run
from tune_jobs.executors.base import Executor, Order
from tune_jobs.executors.inline import InlineExecutor
from tune_jobs.executors.registry import add_executor
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task


def main(file: str, storage: str) -> None:
    """Run it to its end, and say what the tracker lacks, if anything."""
    add_executor("here", _here)
    with LogLines(Console(stderr=True)) as progress:
        outcome = run(load_sweep(file), progress, storage=Path(storage), executor="here")
    print(outcome.tracked.error or "")


@contextlib.contextmanager
def _here(_order: Order) -> Iterator[Executor]:
    yield InlineExecutor(_train)


def _train(task: Task) -> Iterator[Report]:
    task.folder.mkdir(parents=True, exist_ok=True)
    yield from train_task(task)


if __name__ == "__main__":
    main(*sys.argv[1:])
