"""Synthetic sweeps: configurations of one space, with values by a formula."""

import random
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import Any

import numpy as np

from search_spaces import Decided, SweepSpec, parse_sweep
from tune_jobs.events import Ended, EpochEnded, Job
from tune_jobs.record.rows import Usage
from tune_jobs.report.effects import Effects, Field, effects_of
from tune_jobs.results.row import Row
from tune_jobs.results.summary import Summary
from tune_jobs.search.queue import Search

FILE = """
name: made
space:
  model:
    layer:
      kind: hybrid
      lambda: {choice: [0.125, 0.25, 0.5]}
      k: 4
      similarity: {choice: [cosine, euclidean]}
  training: {lr: {log_uniform: [1.0e-5, 1.0e-2]}, epochs: 1}
search: {sampler: tpe, trials: 30}
"""

NESTED = """
name: nested
space:
  model:
    layer:
      any_of:
        - {kind: conv2d}
        - {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: 4}
  training: {lr: {log_uniform: [1.0e-5, 1.0e-2]}, epochs: 1}
search: {sampler: random, trials: 80}
"""

Formula = Callable[[Row], float]


def pool(trials: int, text: str = FILE) -> list[Row]:
    """Return different random configurations."""
    space, rng = parse_sweep(text).space, random.Random(0)
    configs = [space.resolve(Decided(space.draw(rng))) for _ in range(trials)]
    return [Row(n, f"key{n}", "complete", None, None, 1, 0.5, {}, config) for n, config in enumerate(configs, 1)]


def with_values(rows: Iterable[Row], value: Formula) -> list[Row]:
    found = []
    for row in rows:
        new = replace(row, value=value(row))
        new.__dict__["fields"] = row.fields  # the configuration is the same, and computing its fields is slow
        found.append(new)
    return found


def summed(rows: list[Row], **changes: Any) -> Summary:
    """Return the summary of these trials, the best first."""
    found = Summary("made", "val/accuracy", "maximize", len(rows), Usage(0, 0, 0, 0), {}, None, rows)
    return replace(found, **changes)


def effects(rows: list[Row], **changes: Any) -> Effects:
    return effects_of(summed(rows, **changes), {})


def field(found: Effects, name: str) -> Field:
    return next(each for each in found.fields if each.name == name)


def lam(row: Row) -> float:
    value = row.fields["lambda"]
    assert isinstance(value, float)
    return value


def searched(spec: SweepSpec, value: Callable[[], float]) -> list[Row]:
    """Return a sweep's trials as its sampler proposes them, each with a value."""
    search, rows = Search(spec), []
    while (start := search.propose().start) is not None:
        job, told = Job(start.run_key, 1, start.number, start.config, start.alone, start.repeat_of), value()
        search.tell(EpochEnded(job, 1, {"val/accuracy": told}))
        search.tell(Ended(job, "complete", None))
        rows.append(Row(job.number, job.run_key, "complete", None, None, 1, told, {}, job.config))
    return rows


def claims(rows: list[Row]) -> bool:
    """Whether the page claims of any two values that one is worse."""
    return any(each.worse for each in effects(rows).fields)


def noise(seed: int, sd: float = 0.02) -> Callable[[], float]:
    rng = np.random.default_rng(seed)
    return lambda: float(rng.normal(0.8, sd))
