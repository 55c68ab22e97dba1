"""The folders for the mistakes: a researcher's files, and a storage with sweeps in every state.

Mistakes change nothing, so all of them share the same two folders.
"""

import contextlib
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from search_spaces import load_sweep
from tests.tune_jobs.report.drawn import Sweep
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import State

FILES = Path(__file__).parent / "files"

SWEEPS: dict[str, tuple[State | None, ...]] = {
    "done": ("complete", "complete", "failed"),
    "empty": (),
    "begun": ("interrupted",),
    "failed": ("failed", "failed"),
    "busy": ("complete", None),
    "newer": ("complete",),
    "damaged": (),
    "lost": ("complete",),
    "paper": ("complete",),
}
"""The state of each trial, by sweep; `None` for a running trial."""


@contextlib.contextmanager
def situation(home: Path, storage: Path) -> Iterator[None]:
    """Fill both folders; inside the context, a driver runs the sweep `busy`."""
    shutil.copytree(FILES, home, dirs_exist_ok=True)
    (home / "folder.yaml").mkdir()

    (home / "latin.yaml").write_bytes("name: größe\n".encode("latin-1"))
    (home / "cifar").mkdir()
    (home / "cifar" / "train.parquet").write_text("not Parquet")
    for name, states in SWEEPS.items():
        _record(storage, name, states)
    (storage / "notes").mkdir()
    (storage / "damaged" / "ledger.db").write_text("not a database")
    (storage / "lost" / "sweep.yaml").unlink()
    with contextlib.closing(sqlite3.connect(storage / "newer" / "ledger.db")) as db, db:
        db.execute("UPDATE meta SET value = '99' WHERE key = 'layout'")
    with lease(storage / "busy"):
        yield


def _record(storage: Path, name: str, states: tuple[State | None, ...]) -> None:
    paper = ["evaluation={protocol: paper}"] if name == "paper" else []
    spec = load_sweep(FILES / "sweep.yaml", [f"name={name}", *paper])
    folder = SweepFolder(storage / name)
    folder.path.mkdir(parents=True)
    folder.spec.write_text(spec.text)
    with contextlib.closing(Ledger(folder.ledger, create=True)) as ledger:
        ledger.meta.metric, ledger.meta.goal = spec.metric, spec.goal
        sweep = Sweep(folder, ledger, spec)
        for state in states:
            epochs = {"complete": 4, "interrupted": 2, None: 1}.get(state, 0)
            values = [0.2, 0.3, 0.4, 0.5][:epochs]
            if state == "failed":
                sweep.trial(values, state, "RuntimeError: my own code", "user_error")
            else:
                sweep.trial(values, state)
