"""New MLflow stores, copied from one: MLflow creates a store by a chain of migrations, which takes seconds."""

import contextlib
import os
import sqlite3
from pathlib import Path

from filelock import FileLock

from tune_jobs.tracking.mlflow.store import prepare_store

SCRATCH = "CONVNN_TEST_SCRATCH"
"""Environment variable with the folder that all processes of a test run share."""


def new_store(path: Path) -> str:
    """Create an SQLite store at `path` and return its URI."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with (
        contextlib.closing(sqlite3.connect(_pattern())) as pattern,
        contextlib.closing(sqlite3.connect(path)) as store,
    ):
        pattern.backup(store)
    return f"sqlite:///{path}"


def _pattern() -> Path:
    scratch = Path(os.environ[SCRATCH])
    made = scratch / "empty.db"
    with FileLock(scratch / "empty.lock"):
        prepare_store(f"sqlite:///{made}")
    return made
