"""A small recorded table, sweeps on it, and an executor that delivers reports in a known order."""

import itertools
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from search_spaces import Decided, SweepSpec, parse_sweep
from tests.tune_jobs.driver.scripted import Unseen
from tune_jobs.driver.trials import Sweep, run_trials
from tune_jobs.executors.base import OpenExecutor, Update
from tune_jobs.executors.inline import InlineExecutor
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Ask, Epoch
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.table import RecordedRun, RecordedTable
from tune_jobs.simulate.playback import CostUnit, Playback, one_of
from tune_jobs.simulate.spaces import looked_up, playable
from tune_jobs.system.signals import Signals
from tune_jobs.worker.entrypoint import Objective
from tune_jobs.worker.reports import EpochDone, Report
from tune_jobs.worker.task import Task

EPOCHS = 9
BATCH_ENDS = 0.9999
FILE = """
name: recorded
space:
  data: {name: cifar10}
  model:
    layer:
      kind: hybrid
      lambda: {choice: [0.25, 0.5, 0.75]}
      k: {choice: [2, 3, 4, 5, 6, 7, 8, 9]}
  training: {lr: {choice: [1.0e-4, 1.0e-3]}, epochs: 9}
search: {sampler: tpe, trials: 30, seed: 3}
stopping: {kind: asha, grace_epochs: 1, reduction_factor: 3}
resources: {max_concurrent: 3, min_free_gb: 0}
"""


def spec(stops: bool = True, /, **changes: str) -> SweepSpec:
    text = FILE if stops else "".join(line for line in FILE.splitlines(keepends=True) if "stopping" not in line)
    return parse_sweep(text, overrides=[f"{path.replace('__', '.')}={value}" for path, value in changes.items()])


def table(*, seconds: bool = True) -> RecordedTable:
    """Return a table with every configuration of FILE's space except those with k = 4, each with different seconds."""
    space = spec().space
    configs = [space.resolve(Decided(point)) for point in space.points()]
    configs = [config for config in configs if getattr(config.model.mixing_layer, "k", 0) != 4]
    rng = np.random.default_rng(1)
    heights = 0.3 + 0.6 * rng.random(len(configs))
    speeds = 0.2 + rng.random(len(configs))
    accuracy = heights[:, None] * (1 - np.exp(-speeds[:, None] * np.arange(1, EPOCHS + 1)))
    return RecordedTable(
        name="small",
        about="made up",
        runs=tuple(RecordedRun(str(n), {"lr": config.training.lr}, config) for n, config in enumerate(configs)),
        curves={"test/accuracy": accuracy},
        lengths=np.full(len(configs), EPOCHS),
        seconds=rng.integers(5, 50, accuracy.shape).astype(float) if seconds else None,
    )


class InOrder(InlineExecutor):
    """Delivers the reports of an objective in the order in which a sweep recorded them.

    All epochs between two asks come together, as the driver of that sweep received them.
    """

    def __init__(self, objective: Objective, asks: Sequence[Ask], epochs: Sequence[Epoch], slots: int) -> None:
        super().__init__(objective, slots=slots, seconds=self._until)
        events: list[Ask | Epoch] = sorted([*asks, *epochs], key=lambda event: event.seq)
        batches = (list(found) for ask, found in itertools.groupby(events, lambda e: isinstance(e, Ask)) if not ask)
        self._due_at = {
            (event.run_key, event.epoch): batch + place / len(found)
            for batch, found in enumerate(batches, 1)
            for place, event in enumerate(found)
            if isinstance(event, Epoch)
        }

    def _until(self, task: Task, report: Report) -> float:
        if not isinstance(report, EpochDone):
            return 0.0
        return self._due_at.get((task.run_key, report.epoch), math.inf) - self.now()

    def poll(self, timeout_s: float) -> Sequence[Update]:
        found = list(super().poll(timeout_s))
        end = math.floor(self.now()) + BATCH_ENDS
        while more := super().poll(end - self.now()):
            found += more
        return found


def playback(cost: CostUnit = "epochs") -> Playback:
    found = table()
    return Playback(found, "val/accuracy", one_of(Runs(found), 0), cost)


def on_table(stops: bool = True, /, **changes: str) -> SweepSpec:
    """Return the sweep, with the recorded part of its space."""
    runs, sweep = Runs(table()), spec(stops, **changes)
    return replace(sweep, space=looked_up(playable(sweep.space, runs), runs).space)


def driven(sweep: SweepSpec, place: Path, opened: OpenExecutor) -> Ledger:
    """Run the sweep like `convnn run`, with a ledger on disk."""
    folder = SweepFolder(place / sweep.name)
    folder.path.mkdir()
    ledger = Ledger(folder.ledger, create=True)
    run_trials(Sweep(sweep, folder, ledger, Unseen(), Signals()), opened)
    return ledger
