from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tune_jobs.report.drawn import Sweep, made


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    with made(tmp_path) as sweep:
        yield sweep
