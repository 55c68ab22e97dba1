"""The ledger's tables: creates, upgrades and opens them. Ledgers of newer versions are not changed."""

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from urllib.parse import quote

from tune_jobs.errors import LedgerError
from tune_jobs.system.files import PARTIAL
from tune_jobs.system.mounts import on_network

LAYOUT = 5

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS asks(
    number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, decisions TEXT NOT NULL, outcome TEXT NOT NULL, run_key TEXT);
CREATE TABLE IF NOT EXISTS trials(
    run_key TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, config TEXT NOT NULL, state TEXT NOT NULL,
    ended_seq INTEGER, reason TEXT, retried_after INTEGER NOT NULL DEFAULT 0,
    repeat_of TEXT, role TEXT NOT NULL DEFAULT 'search');
CREATE TABLE IF NOT EXISTS attempts(
    run_key TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    reason TEXT, failure TEXT, from_epoch INTEGER, note TEXT, seconds REAL NOT NULL DEFAULT 0,
    gpus REAL NOT NULL DEFAULT 0, cpus REAL NOT NULL DEFAULT 0, host TEXT, device TEXT, environment TEXT,
    PRIMARY KEY(run_key, attempt));
CREATE TABLE IF NOT EXISTS epochs(
    seq INTEGER PRIMARY KEY, run_key TEXT NOT NULL, attempt INTEGER NOT NULL, epoch INTEGER NOT NULL,
    at REAL NOT NULL, metrics TEXT NOT NULL, UNIQUE(run_key, attempt, epoch));
CREATE TABLE IF NOT EXISTS tracked(
    run_key TEXT NOT NULL, attempt INTEGER NOT NULL, mlflow_run TEXT NOT NULL, shipped_seq INTEGER NOT NULL,
    shipped_state TEXT NOT NULL, PRIMARY KEY(run_key, attempt));
CREATE TABLE IF NOT EXISTS requests(
    seq INTEGER NOT NULL, run_key TEXT NOT NULL, asked TEXT NOT NULL, at REAL NOT NULL, why TEXT,
    PRIMARY KEY(seq, run_key));
INSERT OR IGNORE INTO meta VALUES('layout', '{LAYOUT}'), ('sweep_id', lower(hex(randomblob(16))));
COMMIT;
"""

NEW_ASK = "INSERT INTO asks SELECT COUNT(*), ?, ?, ?, ? FROM asks"
NEW_TRIAL = (
    "INSERT INTO trials(run_key, number, config, state, repeat_of, role) "
    "SELECT ?, COUNT(*) + 1, ?, 'interrupted', ?, ? FROM trials"
)

_TRIALS = (
    "SELECT run_key, number, config, state, ended_seq, reason, retried_after, repeat_of, "
    "CASE role WHEN 'confirm' THEN role ELSE 'search' END AS its_role FROM trials "
    "WHERE {} ORDER BY number"
)
TRIALS = _TRIALS.format("its_role = COALESCE(?, its_role)")  # NULL: all roles
ONE_TRIAL = _TRIALS.format("run_key = ?")

_ATTEMPTS = (
    "SELECT run_key, attempt, a.state, started, ended, a.reason, failure, from_epoch, note, seconds, gpus, cpus, host, "
    "device, environment FROM attempts a JOIN trials t USING(run_key) {} ORDER BY t.number, attempt"
)
ATTEMPTS = _ATTEMPTS.format("")
UNTRACKED = _ATTEMPTS.format(
    "LEFT JOIN tracked USING(run_key, attempt) WHERE a.state = 'running' OR shipped_state IS NOT a.state"
)
"""The attempts that the tracker may not have completely."""

_UPGRADES = {
    "1": """
BEGIN IMMEDIATE;
ALTER TABLE trials ADD COLUMN retried_after INTEGER NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN failure TEXT;
ALTER TABLE attempts ADD COLUMN from_epoch INTEGER;
ALTER TABLE attempts ADD COLUMN note TEXT;
ALTER TABLE attempts ADD COLUMN seconds REAL NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN gpus REAL NOT NULL DEFAULT 0;
ALTER TABLE attempts ADD COLUMN cpus REAL NOT NULL DEFAULT 0;
UPDATE attempts SET seconds = MAX(0, ended - started) WHERE ended IS NOT NULL;
UPDATE attempts SET failure = 'diverged' WHERE state = 'diverged';
UPDATE attempts SET failure = 'user_error' WHERE state = 'failed';
UPDATE meta SET value = '2' WHERE key = 'layout';
COMMIT;
""",
    "2": """
BEGIN IMMEDIATE;
ALTER TABLE attempts ADD COLUMN host TEXT;
ALTER TABLE attempts ADD COLUMN device TEXT;
UPDATE meta SET value = '3' WHERE key = 'layout';
COMMIT;
""",
    "3": """
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS requests(
    seq INTEGER NOT NULL, run_key TEXT NOT NULL, asked TEXT NOT NULL, at REAL NOT NULL, why TEXT,
    PRIMARY KEY(seq, run_key));
UPDATE meta SET value = '4' WHERE key = 'layout';
COMMIT;
""",
    "4": """
BEGIN IMMEDIATE;
ALTER TABLE trials ADD COLUMN repeat_of TEXT;
ALTER TABLE trials ADD COLUMN role TEXT NOT NULL DEFAULT 'search';
ALTER TABLE attempts ADD COLUMN environment TEXT;
UPDATE meta SET value = '5' WHERE key = 'layout';
COMMIT;
""",
}
"""The SQL that upgrades each layout to the next one."""


def check_layout(path: Path, busy: Callable[[], bool]) -> None:
    """Refuse the ledger of a newer version, without changing any file. A ledger that cannot be checked passes.

    Args:
        path: The ledger, which may be missing.
        busy: Whether another process may be writing it now. Its journal is not copied then.

    Raises:
        LedgerError: If it has a layout that this version does not know.
    """
    layout = None
    with suppress(sqlite3.Error, OSError), closing(_frozen(path)) as db:
        layout = layout_of(db)
    journal = _journal(path)
    if layout in (None, str(LAYOUT), *_UPGRADES) and _has_text(journal) and not busy():
        with suppress(sqlite3.Error, OSError), _copied(path, journal) as db:  # with a killed driver's last writes
            layout = layout_of(db)
    if layout not in (None, *_UPGRADES):
        require_layout(path, layout)


def require_layout(path: Path, layout: str | None) -> None:
    """Refuse every layout except this version's.

    Raises:
        LedgerError: If it is another layout; the message says what to do.
    """
    if layout != str(LAYOUT):
        old = layout in _UPGRADES
        age, way_out = (
            ("an older version", "copy the folder to a place where it can be written, and open the copy")
            if old
            else ("a newer version", "use that version, or a newer one")
        )
        raise LedgerError(f"{path} was written by {age} (layout {layout}; this version has {LAYOUT}); {way_out}.")


def layout_of(db: sqlite3.Connection) -> str | None:
    """Return the layout of a ledger."""
    rows = db.execute("SELECT value FROM meta WHERE key='layout'").fetchall()
    return rows[0][0] if rows else None


def make_whole(path: Path) -> None:
    """Create a ledger if it is missing. It appears with all its tables, as others may read it at any moment."""
    if path.exists():
        return
    part = path.with_name(f".{path.name}{PARTIAL}")
    for left in path.parent.glob(f"{part.name}*"):  # files of a killed process, including its journal
        left.unlink()
    with closing(connect(part)) as db:
        make_tables(db, path)
    part.replace(path)


def remove_ledger(path: Path) -> None:
    """Remove a ledger and SQLite's files beside it; for a holder of the lease."""
    for suffix in ("-wal", "-shm", "-journal", ""):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


def make_tables(db: sqlite3.Connection, path: Path) -> None:
    """Create missing tables, and choose a journal mode that the folder supports."""
    # A write-ahead log uses memory shared by processes of one machine; other machines would read garbage.
    db.execute(f"PRAGMA journal_mode={'DELETE' if on_network(path.parent) else 'WAL'}")
    db.executescript(_TABLES)


def upgraded(db: sqlite3.Connection, path: Path, *, in_place: bool) -> sqlite3.Connection:
    """Return the ledger in this version's layout: the file itself if it may be changed, otherwise a copy in memory."""
    layout = layout_of(db)
    if layout in _UPGRADES and not (in_place and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK)):
        copy = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
        with closing(db):
            db.backup(copy)
        db = copy
    while layout in _UPGRADES:
        db.executescript(_UPGRADES[layout])
        layout = layout_of(db)
    return db


def connect(path: Path) -> sqlite3.Connection:
    """Open a ledger, also on storage that is read-only."""
    if os.access(path.parent, os.W_OK):
        return sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    # On read-only storage nobody writes the ledger, and SQLite cannot create files beside it.
    journal = _journal(path)
    return _in_memory(path, journal) if _has_text(journal) else _frozen(path)


def _frozen(path: Path) -> sqlite3.Connection:
    """Open the file alone, read-only, without its journal."""
    frozen = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    return sqlite3.connect(frozen, uri=True, isolation_level=None, check_same_thread=False)


def _journal(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _has_text(journal: Path) -> bool:
    return journal.exists() and journal.stat().st_size > 0


@contextmanager
def _copied(path: Path, journal: Path) -> Iterator[sqlite3.Connection]:
    with tempfile.TemporaryDirectory() as folder:
        for file in (path, journal):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            yield copy


def _in_memory(path: Path, journal: Path) -> sqlite3.Connection:
    whole = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with _copied(path, journal) as copy:
        copy.backup(whole)
    return whole
