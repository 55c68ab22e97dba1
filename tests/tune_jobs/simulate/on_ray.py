"""A sweep on a real Ray cluster whose workers replay the table: `python -m tests.tune_jobs.simulate.on_ray FOLDER`.

It writes to FOLDER/kept how many trials Ray Tune still has in memory when all have ended.
"""

import contextlib
import gc
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from search_spaces import SweepSpec
from tests.tune_jobs.simulate.playing import driven, on_table, playback
from tune_jobs.executors.base import Executor, Order
from tune_jobs.executors.ray_tune.run import open_ray_tune
from tune_jobs.worker.reports import Report
from tune_jobs.worker.task import Task


def short() -> SweepSpec:
    """Return the sweep."""
    return on_table(search__trials="12")


def played(task: Task) -> Iterator[Report]:
    """Replay a recorded run instead of training."""
    return playback()(task)


@contextlib.contextmanager
def counted(folder: Path, order: Order) -> Iterator[Executor]:
    """Open Ray Tune, and count its trials before it is closed."""
    with open_ray_tune(order, objective=played) as executor:
        close = executor.close

        def count_and_close() -> None:
            from ray.tune.experiment import Trial

            gc.collect()
            (folder / "kept").write_text(str(sum(type(found) is Trial for found in gc.get_objects())))
            close()

        executor.close = count_and_close  # type: ignore[method-assign]
        yield executor


if __name__ == "__main__":
    driven(short(), Path(sys.argv[1]), partial(counted, Path(sys.argv[1]))).close()
