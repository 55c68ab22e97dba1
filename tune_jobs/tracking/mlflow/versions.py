"""Which version of MLflow a store is of, by its schema: read without MLflow, which would change it."""

import contextlib
import functools
import importlib.util
import re
import sqlite3
from pathlib import Path
from urllib.parse import quote

_REVISION = re.compile(r"^revision(?:: \w+)? *= *(.+)$", re.MULTILINE)
_BEFORE = re.compile(r"^down_revision(?:: [^=]+)? *= *(.+)$", re.MULTILINE)
_QUOTED = re.compile(r"[\"']([0-9a-f]+)[\"']")


@functools.cache
def current() -> str | None:
    """The revision of the schema that the installed MLflow has; `None` if it cannot be told.

    MLflow's own way to tell takes two seconds: it imports all of its migrations.
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
    """Whether a file is no store of the installed MLflow: of another version, or no store at all.

    Raises:
        OSError: If it cannot be read.
    """
    if not store.stat().st_size:
        return True
    address = f"file:{quote(str(store))}?mode=rw"  # what a killed writer began is undone by whoever opens it next
    try:
        with contextlib.closing(sqlite3.connect(address, uri=True)) as db:
            (revision,) = db.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return True
        raise OSError(None, f"{store} cannot be read: {error}") from error
    except (sqlite3.DatabaseError, TypeError):
        return True
    return current() not in (None, revision)
