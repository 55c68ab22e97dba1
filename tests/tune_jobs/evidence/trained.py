"""A small, really trained sweep with two trials at a time, one of which lost its worker; without Ray or MLflow."""

import contextlib
import itertools
from collections.abc import Iterator
from pathlib import Path

from search_spaces import parse_sweep
from tests.tune_jobs.driver.scripted import Unseen
from tune_jobs.driver.images import open_images
from tune_jobs.driver.opening import open_ledger
from tune_jobs.driver.trials import Sweep, run_trials
from tune_jobs.executors.inline import WorkerDied, open_inline
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.manifest import write_manifest
from tune_jobs.system.signals import Signals
from tune_jobs.worker.attempt import train_task
from tune_jobs.worker.reports import EpochDone, Report
from tune_jobs.worker.task import Task

NAME = "trained"
FILE = f"""
name: {NAME}
space:
  data: {{name: digits, limit: 60}}
  model:
    width: 0.0625
    classifier_width: 16
    layer:
      kind: hybrid
      lambda: {{choice: [0, 0.5]}}
      k: 3
      candidates: {{kind: random, r: 16, when_too_few: all}}
  training: {{lr: 1e-3, epochs: 3, batch_size: 16}}
search: {{sampler: grid}}
resources: {{checkpoint_every_s: 0, min_free_gb: 0}}
"""
LOST = 2
"""The epoch after which the worker of the second trial dies, before it writes a checkpoint."""


def _train(task: Task) -> Iterator[Report]:
    task.folder.mkdir(parents=True, exist_ok=True)
    for report in train_task(task):
        yield report
        lost = isinstance(report, EpochDone) and report.epoch == LOST and task.attempt == 1
        if lost and getattr(task.config.model.mixing_layer, "k", None) is not None:
            raise WorkerDied("lost_worker", "it was killed")


def trained(storage: Path) -> SweepFolder:
    """Run the sweep."""
    folder, spec = SweepFolder(storage / NAME), parse_sweep(FILE)
    folder.path.mkdir(parents=True)
    with contextlib.closing(open_ledger(folder, spec)) as ledger:
        write_manifest(folder, open_images(spec, ledger, print))
        run_trials(Sweep(spec, folder, ledger, Unseen(), Signals()), open_inline(_train, slots=2))
        tried = [(attempt.state, attempt.from_epoch) for attempt in ledger.attempts()]
        kept = list(itertools.chain(*(folder.checkpoints(trial.run_key) for trial in ledger.trials())))
    assert tried == [("complete", 0), ("interrupted", 0), ("complete", LOST - 1)]
    assert len(kept) == 1
    return folder
