"""A sweep without faults, trained trial by trial in one process, without Ray: `alone FILE STORAGE`.

Without arguments, it trains one sweep after another: it reads FILE and STORAGE from each line of standard input,
separated by a tab, writes the output to STORAGE/output.txt, and STORAGE/ended at the end of a sweep.
"""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

from search_spaces import load_sweep
from tests.faults.trainer import ENDED, OUTPUT
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


def _run_each() -> None:
    for line in sys.stdin:
        file, storage = map(Path, line.rstrip("\n").split("\t"))
        with (storage / OUTPUT).open("wb") as log:
            for stream in (1, 2):
                os.dup2(log.fileno(), stream)
        run_alone(str(file), str(storage), train)
        (storage / ENDED).touch()


if __name__ == "__main__":
    import torch  # noqa: F401 - import early, since torch inspects every loaded module

    if len(sys.argv) > 1:
        run_alone(sys.argv[1], sys.argv[2], train)
    else:
        _run_each()
