"""A sweep on a real Ray cluster whose workers replay the table: `python -m tests.tune_jobs.simulate.on_ray FOLDER`."""

import sys
from pathlib import Path
from typing import Any

from search_spaces import SweepSpec
from tests.tune_jobs.simulate.playing import driven, on_table, playback
from tune_jobs.executors.ray_tune import worker
from tune_jobs.executors.ray_tune.run import open_ray_tune
from tune_jobs.worker.entrypoint import run_attempt
from tune_jobs.worker.reports import Begun, encode
from tune_jobs.worker.task import decode_task


def short() -> SweepSpec:
    """Return the sweep."""
    return on_table(search__trials="12")


def replayed(sent: dict[str, Any]) -> None:
    """Replay a recorded run instead of training."""
    from ray import tune

    tune.report(encode(Begun(None, "played", shared=True)))
    run_attempt(decode_task(sent), lambda told: tune.report(encode(told)), playback())


if __name__ == "__main__":
    worker.train_attempt = replayed
    driven(short(), Path(sys.argv[1]), open_ray_tune).close()
