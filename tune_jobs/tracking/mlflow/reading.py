"""Reads MLflow's SQLite store without MLflow. Importing MLflow takes two seconds, and may change the store."""

import contextlib
import functools
import hashlib
import importlib.util
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

_REVISION = re.compile(r"^revision(?:: \w+)? *= *(.+)$", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision(?:: [^=]+)? *= *(.+)$", re.MULTILINE)
_QUOTED = re.compile(r"[\"']([0-9a-f]+)[\"']")


_STATE = """
    SELECT version_num, experiments.name, experiments.lifecycle_stage, runs.run_uuid, status, runs.lifecycle_stage,
        (SELECT count(*) FROM metrics WHERE metrics.run_uuid=runs.run_uuid),
        (SELECT count(*) FROM params WHERE params.run_uuid=runs.run_uuid),
        (SELECT count(*) FROM tags WHERE tags.run_uuid=runs.run_uuid)
    FROM alembic_version, runs JOIN experiments USING (experiment_id)
    WHERE runs.run_uuid IN (SELECT run_uuid FROM tags WHERE key='sweep_id' AND value=?) ORDER BY runs.run_uuid
"""


@functools.cache
def current() -> str | None:
    """Return the schema revision of the installed MLflow; `None` if it is unknown.

    MLflow's own function takes two seconds: it imports all migrations.
    """
    found = importlib.util.find_spec("mlflow")
    if found is None or not found.submodule_search_locations:
        return None
    folder = Path(found.submodule_search_locations[0]) / "store" / "db_migrations" / "versions"
    texts = [file.read_text(encoding="utf-8") for file in folder.glob("*.py")]
    revisions, before = ({name for text in texts for name in _named(rule, text)} for rule in (_REVISION, _BEFORE))
    last = revisions - before
    return last.pop() if len(last) == 1 else None


def _named(rule: re.Pattern[str], text: str) -> list[str]:
    return [name for line in rule.findall(text) for name in _QUOTED.findall(line)]


def is_of_another(store: Path) -> bool:
    """Whether a file is not a store of the installed MLflow version.

    Raises:
        OSError: If the file cannot be read.
    """
    if not store.stat().st_size:
        return True
    address = f"file:{quote(str(store))}?mode=rw"  # opening it rolls back the transaction of a killed writer
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            (revision,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return True
        raise OSError(
            f"{store} cannot be read: {error}; stop the process that writes it, or move the file away: it is "
            f"created again"
        ) from error
    except (sqlite3.DatabaseError, TypeError):
        return True
    return current() not in (None, revision)


def has_runs(store: Path, tracked_as: str) -> bool:
    """Whether a store, of any MLflow version, has runs of a sweep."""
    address = f"file:{quote(str(store))}?mode=ro&immutable=1"
    with contextlib.suppress(sqlite3.Error), contextlib.closing(sqlite3.connect(address, uri=True)) as db:
        found = db.execute("SELECT 1 FROM tags WHERE key='sweep_id' AND value=? LIMIT 1", [tracked_as])
        return found.fetchone() is not None
    return False


def state_of_runs(store: Path, tracked_as: str) -> str | None:
    """Return a digest of a sweep's runs, metrics and parameters; it ignores other data in the store.

    `None` if it cannot be computed without changing the store.
    """
    if not store.is_file() or store.with_name(f"{store.name}-journal").exists():
        return None
    try:
        with contextlib.closing(sqlite3.connect(f"file:{quote(str(store))}?mode=ro", uri=True)) as db:
            rows = db.execute(_STATE, [tracked_as]).fetchall()
    except sqlite3.Error:
        return None
    return hashlib.sha256(repr(rows).encode()).hexdigest() if rows else None
