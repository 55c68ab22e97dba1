"""Sweeps that exist only in their ledgers, and helpers that read their reports."""

import contextlib
import csv
import json
import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from search_spaces import Decided, SweepSpec, canonical, parse_sweep, run_key
from tune_jobs.failures import Failure
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import State
from tune_jobs.report import write_report

FILE = """
name: drawn  # <b>not bold</b>
space:
  model:
    layer:
      any_of:
        - {kind: conv2d}
        - kind: hybrid
          lambda: 0.5
          k: {choice: [4, 9]}
          candidates:
            any_of:
              - {kind: all}
              - {kind: random, r: {int: [16, 256]}, when_too_few: all}
  training: {lr: {log_uniform: [1.0e-5, 1.0e-2]}, epochs: 9}
search: {sampler: random, trials: 1000}
stopping: {kind: asha, grace_epochs: 3}
resources: {gpus_per_trial: 0.25}
budget: {gpu_hours: 24}
"""


@dataclass(frozen=True)
class Sweep:
    """A sweep that exists only in its ledger."""

    folder: SweepFolder
    ledger: Ledger
    spec: SweepSpec
    rng: random.Random = field(default_factory=lambda: random.Random(0))

    def trial(
        self,
        values: list[float],
        state: State | None,
        reason: str | None = None,
        failure: Failure | None = None,
        *,
        point: dict[str, Any] | None = None,
        size: Mapping[str, float] | None = None,
        **metrics: float,
    ) -> float:
        """Add a trial with these accuracies, still running if `state` is missing; return its learning rate.

        `size` is recorded only with the first epoch, as workers do.
        """
        point = point or self.spec.space.draw(self.rng)
        config = self.spec.space.resolve(Decided(point))
        key = run_key(config)
        self.ledger.add_trial(point, canonical(config), key)
        attempt = self.ledger.start_attempt(key, gpus=0.25, cpus=2)
        for epoch, value in enumerate(values, 1):
            more = size if size and epoch == 1 else {}
            self.ledger.add_epoch(key, attempt, epoch, {"val/accuracy": value, **metrics, **more})
        if state is not None:
            self.ledger.end_attempt(key, attempt, state, reason, failure)
        return config.training.lr

    def next_lr(self) -> float:
        """Return the learning rate of the next trial."""
        state = self.rng.getstate()
        lr = self.spec.space.draw(self.rng)["space.training.lr"]
        self.rng.setstate(state)
        assert isinstance(lr, float)
        return lr

    def page(self, **options: Any) -> str:
        """Return the report, without measuring models."""
        return write_report(self.folder, measure_s=0, **options).report.read_text(encoding="utf-8")

    def figures(self) -> dict[str, Any]:
        """Return the plots of the report."""
        found = re.search(r'id="data">(.*?)</script>', self.page(), re.DOTALL)
        assert found is not None
        figures: dict[str, Any] = json.loads(found[1])["figures"]
        return figures


@contextlib.contextmanager
def made(place: Path) -> Iterator[Sweep]:
    """Make a sweep without trials, with its folder in `place`."""
    folder = SweepFolder(place / "drawn")
    folder.path.mkdir()
    folder.spec.write_text(FILE)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")
        ledger.meta.planned = 1000
        yield Sweep(folder, ledger, parse_sweep(FILE))


def rows(path: Path) -> list[dict[str, str]]:
    return list(csv.DictReader(path.read_text().splitlines()))


def words(page: str) -> str:
    """Return the text that a reader sees on a page."""
    return " ".join(re.sub(r"<(script|style).*?</\1>|<[^>]*>", " ", page, flags=re.DOTALL).split())
