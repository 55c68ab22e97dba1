import contextlib
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces import parse_sweep
from tests.tune_jobs.report.drawn import FILE, Sweep
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[Sweep]:
    folder = SweepFolder(tmp_path / "drawn")
    folder.path.mkdir()
    folder.spec.write_text(FILE)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger._db.execute("PRAGMA synchronous=OFF")
        ledger.meta.planned = 1000
        yield Sweep(folder, ledger, parse_sweep(FILE))
