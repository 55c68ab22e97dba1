"""A search without Ray: a formula simulates the trials, so that hundreds of asks take a moment."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from search_spaces import SweepSpec, parse_sweep
from tests.tune_jobs.search.recorded import Recorded
from tune_jobs.events import Job
from tune_jobs.record.ledger import Ledger

MIXED = """
    layer:
      any_of:
        - {kind: conv2d, kernel_size: 3}
        - kind: hybrid
          lambda: {choice: [0, 0.25, 0.5, 1]}
          k: {int: [1, 20]}
          candidates: {kind: random, r: {int: [8, 64], log: true}, when_too_few: all}
"""
THIRTY = """
    layer:
      kind: hybrid
      lambda: {choice: [0.25, 0.5, 0.75]}
      k: {choice: [2, 3, 4, 5, 6]}
      similarity: {choice: [cosine, euclidean]}
"""
FOUR = "{sampler: random, trials: 4}"


def spec(
    layer: str = MIXED, search: str = "{sampler: tpe, trials: 20}", lr: str = "{log_uniform: [1e-4, 1e-2]}"
) -> SweepSpec:
    return parse_sweep(f"""
name: test
space:
  model:
    width: 0.125
{layer}
  training: {{lr: {lr}, epochs: 9}}
search: {search}
stopping: {{kind: asha, grace_epochs: 1, reduction_factor: 3}}
""")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(path, create=True)) as ledger:
        yield ledger


def accuracy(job: Job, epoch: int) -> float:
    """Return a value that depends on the configuration and grows with the epochs."""
    k: int = getattr(job.config.model.mixing_layer, "k", 0)
    return 1 - 1 / (1 + epoch) - abs(job.config.training.lr - 1e-3) * 50 - abs(k - 6) / 100


def train(search: Recorded, job: Job, epochs: int = 9) -> None:
    """Run a job until it ends or the stopping rule stops it; with fewer epochs it is interrupted and stays pending."""
    for epoch in range(1, epochs + 1):
        if search.report(job, epoch, {"val/accuracy": accuracy(job, epoch)}):
            search.end(job, "stopped")
            return
    search.end(job, "complete" if epochs == job.config.training.epochs else "interrupted")


def run(sweep: SweepSpec, path: Path, *, interrupt: bool = False) -> list[tuple[Any, ...]]:
    """Run all trials of a sweep, one at a time; with `interrupt`, interrupt each once and rebuild the search."""
    with opened(path) as ledger:
        search = Recorded(sweep, ledger)
        while (job := search.next()) is not None:
            if interrupt and job.attempt == 1:
                train(search, job, epochs=2)
            else:
                train(search, job)
            if interrupt:
                search = Recorded(sweep, ledger)
        return [(trial.number, trial.run_key, trial.state) for trial in ledger.trials()]


def due(search: Recorded) -> list[tuple[int, int, bool]]:
    """Return all jobs that can start now, as number, attempt, alone."""
    return [(job.number, job.attempt, job.alone) for job in iter(search.next, None)]


def job_of(search: Recorded) -> Job:
    job = search.next()
    assert job is not None
    return job
