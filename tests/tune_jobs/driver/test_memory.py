"""Growth of the driver's memory per trial, without Ray. `benchmarks/orchestration.py` measures it with Ray."""

import contextlib
import gc
import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces import parse_sweep
from tests.tune_jobs.driver.scripted import Unseen
from tune_jobs.driver.trials import Sweep, run_trials
from tune_jobs.executors.inline import open_inline
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.system.signals import Signals
from tune_jobs.worker.reports import EpochDone, Report, ResumedFrom
from tune_jobs.worker.task import Task

SPEC = """
name: grown
space:
  model:
    layer:
      kind: hybrid
      lambda: {{choice: [0.25, 0.5]}}
      k: {{int: [1, 9]}}
      candidates: {{kind: random, r: {{int: [16, 256]}}, when_too_few: all}}
  training: {{lr: {{log_uniform: [1.0e-5, 1.0e-2]}}, epochs: {epochs}}}
search: {{sampler: random, trials: {trials}}}
resources: {{min_free_gb: 0}}
stopping: {{kind: asha}}
"""


class Watched:
    """An objective that takes no time; it records the memory of Python at the start of some trials."""

    def __init__(self, *at: int) -> None:
        self.memory: dict[int, int] = {}
        self._started, self._at = 0, at

    def __call__(self, task: Task) -> Iterator[Report]:
        self._started += 1
        if self._started in self._at:
            gc.collect()
            self.memory[self._started] = tracemalloc.get_traced_memory()[0]
        yield ResumedFrom(0, None, "cpu")
        for epoch in range(1, task.config.training.epochs + 1):
            losses = {f"{part}/loss": 1 / (epoch + self._started) for part in ("train", "val")}
            better = epoch * self._started / 1e5  # than the previous trial, so that no trial is stopped
            yield EpochDone(epoch, {"val/accuracy": better, "epoch_s": 1.0, **losses})


@pytest.mark.parametrize(("epochs", "first", "last", "at_most_kb"), [(3, 30, 90, 10), (150, 4, 10, 40)])
def test_an_ended_trial_keeps_only_a_few_kilobytes_in_the_driver(
    tmp_path: Path, epochs: int, first: int, last: int, at_most_kb: int
) -> None:
    objective, folder = Watched(first, last), SweepFolder(tmp_path / "grown")
    folder.path.mkdir()
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        tracemalloc.start()
        try:
            run_trials(
                Sweep(parse_sweep(SPEC.format(epochs=epochs, trials=last)), folder, ledger, Unseen(), Signals()),
                open_inline(objective),
            )
        finally:
            tracemalloc.stop()
    grown_kb = (objective.memory[last] - objective.memory[first]) / (last - first) / 1000
    assert 1 < grown_kb <= at_most_kb
