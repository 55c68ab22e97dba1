"""A sweep with synthetic values at the pace of training, for tests of MLflow: `made_up FILE STORAGE`."""

import sys
import time
from collections.abc import Iterator

from tests.faults.alone import run_alone
from tune_jobs.worker.reports import EpochDone, Report, ResumedFrom
from tune_jobs.worker.task import Task

EPOCH_S = 0.15


def learn(task: Task) -> Iterator[Report]:
    """Let each trial approach its own accuracy, and give it its own size."""
    best, size = (int(task.run_key[at : at + 8], 16) / 16**8 for at in (0, 8))
    yield ResumedFrom(0, None, "cpu")
    for epoch in range(1, task.config.training.epochs + 1):
        time.sleep(EPOCH_S)
        accuracy = best * epoch / (epoch + 1)
        metrics = {"epoch_s": EPOCH_S, "images_per_s": 600.0}
        for part in ("train", "val"):
            metrics |= {f"{part}/accuracy": accuracy, f"{part}/loss": 2.3 - accuracy}
        if epoch == 1:
            metrics |= {"params": 1e6, "gflops": 0.1 + size, "gflops_published": 0.1}
        yield EpochDone(epoch, metrics)


if __name__ == "__main__":
    outcome = run_alone(sys.argv[1], sys.argv[2], learn)
    print(outcome.tracked.error or "")
