import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces import TrialConfig, run_key
from tune_jobs.record.environment import Environment
from tune_jobs.record.ledger import Ledger

CONFIG = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.5, "k": 4}}})
KEY = run_key(CONFIG)
ENVIRONMENT = Environment(2, "AMD EPYC", "AVX2", {"torch": "2.15.0"}, "c0de", 2)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    """A ledger with one trial."""
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as opened:
        opened.add_trial({"space.model.layer.k": 4}, CONFIG, KEY)
        yield opened
