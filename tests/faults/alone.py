"""A sweep without faults, trained trial by trial in one process, without Ray: `alone FILE STORAGE`."""

import sys
from collections.abc import Iterator
from pathlib import Path

from search_spaces import load_sweep
from tune_jobs.display.console import TextConsole
from tune_jobs.display.live import LogLines
from tune_jobs.driver.run import Outcome, run
from tune_jobs.executors.inline import open_inline
from tune_jobs.executors.registry import add_executor
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.entrypoint import Objective
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task


def run_alone(file: str, storage: str, objective: Objective) -> Outcome:
    """Run a sweep to its end with `objective`."""
    add_executor("alone", open_inline(objective))
    with LogLines(TextConsole(stderr=True)) as progress:
        return run(load_sweep(file), progress, storage=Path(storage), executor="alone")


def train(task: Task) -> Iterator[Report]:
    """Train a task in this process, as a worker does."""
    task.folder.mkdir(parents=True, exist_ok=True)
    yield from train_task(task)


if __name__ == "__main__":
    import torch  # noqa: F401 - import early, since torch inspects every loaded module

    run_alone(sys.argv[1], sys.argv[2], train)
