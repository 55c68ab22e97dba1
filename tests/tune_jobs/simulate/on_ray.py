"""A sweep on a real Ray cluster whose workers replay the table: `python -m tests.tune_jobs.simulate.on_ray FOLDER`."""

import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from search_spaces import SweepSpec
from tests.tune_jobs.simulate.playing import driven, on_table, playback
from tune_jobs.executors.ray_tune.run import open_ray_tune
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task


def short() -> SweepSpec:
    """Return the sweep."""
    return on_table(search__trials="12")


def played(task: Task) -> Iterator[Report]:
    """Replay a recorded run instead of training."""
    return playback()(task)


if __name__ == "__main__":
    driven(short(), Path(sys.argv[1]), partial(open_ray_tune, objective=played)).close()
