"""The sweep's own record, in SQLite: the only state. Everything else is rebuilt from it.

It has one writer, the driver, which holds the lease; anyone may read at any time. `seq` orders everything that
the search has to see again in the same order: asks, epochs and ends.

Trial states: `running`, then `complete`, `stopped` (by the stopping rule), `diverged` or `failed`; `interrupted` is
due for another attempt. What made an attempt end early is its failure class (`tune_jobs.failures`).
"""

import fcntl
import json
import os
import shutil
import socket
import sqlite3
import tempfile
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote

from filelock import FileLock, Timeout

from search_spaces import TrialConfig
from tune_jobs.errors import LedgerError
from tune_jobs.failures import Failure
from tune_jobs.system.mounts import on_network
from tune_jobs.system.processes import lives

LAYOUT = 3
OWNER = "driver.json"
_LOCK = "driver.lock"
LOCK_S = 1.0
"""How long a new driver waits for the lock, which `live_driver` may hold for a moment."""

ENDED = ("complete", "stopped", "diverged", "failed")
State = Literal["running", "complete", "stopped", "diverged", "failed", "interrupted"]
Outcome = Literal["new", "duplicate", "infeasible"]

_TABLES = f"""
BEGIN IMMEDIATE;
CREATE TABLE IF NOT EXISTS meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS asks(
    number INTEGER PRIMARY KEY, seq INTEGER NOT NULL, decisions TEXT NOT NULL, outcome TEXT NOT NULL, run_key TEXT);
CREATE TABLE IF NOT EXISTS trials(
    run_key TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, config TEXT NOT NULL, state TEXT NOT NULL,
    ended_seq INTEGER, reason TEXT, retried_after INTEGER NOT NULL DEFAULT 0);
CREATE TABLE IF NOT EXISTS attempts(
    run_key TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL, started REAL NOT NULL, ended REAL,
    reason TEXT, failure TEXT, from_epoch INTEGER, note TEXT, seconds REAL NOT NULL DEFAULT 0,
    gpus REAL NOT NULL DEFAULT 0, cpus REAL NOT NULL DEFAULT 0, host TEXT, device TEXT,
    PRIMARY KEY(run_key, attempt));
CREATE TABLE IF NOT EXISTS epochs(
    seq INTEGER PRIMARY KEY, run_key TEXT NOT NULL, attempt INTEGER NOT NULL, epoch INTEGER NOT NULL,
    at REAL NOT NULL, metrics TEXT NOT NULL, UNIQUE(run_key, attempt, epoch));
CREATE TABLE IF NOT EXISTS tracked(
    run_key TEXT NOT NULL, attempt INTEGER NOT NULL, mlflow_run TEXT NOT NULL, shipped_seq INTEGER NOT NULL,
    shipped_state TEXT NOT NULL, PRIMARY KEY(run_key, attempt));
INSERT OR IGNORE INTO meta VALUES('layout', '{LAYOUT}'), ('sweep_id', lower(hex(randomblob(16))));
COMMIT;
"""

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
}
"""From a layout to the next."""


@dataclass(frozen=True)
class Ask:
    """One decision of the sampler, and what became of it."""

    number: int
    seq: int
    decisions: dict[str, Any]
    outcome: Outcome
    run_key: str | None


@dataclass(frozen=True)
class Epoch:
    """One epoch of one attempt."""

    seq: int
    run_key: str
    attempt: int
    epoch: int
    at: float
    metrics: dict[str, float]


@dataclass(frozen=True)
class Attempt:
    """One try at a trial: when, why it ended, and what it held for how long.

    `from_epoch` is the epoch after which it went on, `None` while that is not known; `note` says what was wrong with
    a checkpoint. `seconds` are counted while the worker lives, by a clock that does not jump. `host` is the machine and
    `device` `cpu` or the GPU's name, as far as they are known.
    """

    run_key: str
    attempt: int
    state: State
    started: float
    ended: float | None
    reason: str | None
    failure: Failure | None
    from_epoch: int | None
    note: str | None
    seconds: float
    gpus: float
    cpus: float
    host: str | None
    device: str | None


@dataclass(frozen=True)
class Trial:
    """One configuration with its seed; numbered from 1 in the order of first starts."""

    run_key: str
    number: int
    config: TrialConfig
    state: State
    ended_seq: int | None
    reason: str | None
    retried_after: int
    """Its attempts at the time it was last asked for again by hand."""


@dataclass(frozen=True)
class Usage:
    """What a sweep has cost so far, over all its runs; failed attempts included."""

    gpu_hours: float
    cpu_hours: float
    wall_hours: float
    trials: int
    """Trials that were started."""


class Ledger:
    """Reads and, for the driver, writes a sweep's record."""

    def __init__(self, path: Path, *, create: bool = False) -> None:
        """Open the ledger at `path`.

        Raises:
            LedgerError: If it is missing, damaged, of another layout, or cannot be written where that is needed.
        """
        self.path = path
        self._lock = threading.RLock()
        if not create and not path.exists():
            raise LedgerError(f"{path} is missing: this folder holds no sweep; `convnn list` shows the sweeps.")
        try:
            self._db = _connect(path)
            if create:
                # A write-ahead log is memory that processes of one machine share; others would read rubbish.
                self._db.execute(f"PRAGMA journal_mode={'DELETE' if on_network(path.parent) else 'WAL'}")
                self._db.executescript(_TABLES)
            layout = self.meta("layout")
            while layout in _UPGRADES and os.access(path, os.W_OK) and os.access(path.parent, os.W_OK):
                self._db.executescript(_UPGRADES[layout])
                layout = self.meta("layout")
        except sqlite3.Error as error:
            raise LedgerError(f"{path} cannot be used: {error}; is the folder writable and the file whole?") from error
        if layout != str(LAYOUT):
            old = layout in _UPGRADES
            way_out = "copy the folder to where it can be written" if old else "use the version that wrote it"
            raise LedgerError(f"{path} has layout {layout}, this version reads {LAYOUT}; {way_out}.")

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _write(self) -> Iterator[int]:
        """One transaction, and the next `seq`.

        Raises:
            LedgerError: If there is no room, or the file cannot be written; it is then as it was before.
        """
        try:
            with self._transaction() as seq:
                yield seq
        except sqlite3.OperationalError as error:
            raise LedgerError(
                f"{self.path} cannot be written: {error}; make room or access there and run the same command again, "
                f"which goes on from what is recorded."
            ) from error

    @contextmanager
    def _transaction(self) -> Iterator[int]:
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            try:
                (seq,) = self._db.execute(
                    "SELECT COALESCE(MAX(CAST(value AS INTEGER)), 0) + 1 FROM meta WHERE key='seq'"
                )
                self._db.execute("INSERT OR REPLACE INTO meta VALUES('seq', ?)", (str(seq[0]),))
                yield seq[0]
                self._db.execute("COMMIT")
            except BaseException:
                if self._db.in_transaction:  # a full disk may have ended it already
                    self._db.execute("ROLLBACK")
                raise

    def _read(self, query: str, arguments: tuple[object, ...] = ()) -> list[Any]:
        with self._lock:
            return self._db.execute(query, arguments).fetchall()

    def meta(self, key: str) -> str | None:
        """A text stored under `key`."""
        rows = self._read("SELECT value FROM meta WHERE key=?", (key,))
        return rows[0][0] if rows else None

    def set_meta(self, key: str, value: str) -> None:
        """Store a text under `key`."""
        with self._write():
            self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    def add_ask(self, decisions: Mapping[str, Any], outcome: Outcome, run_key: str | None) -> None:
        """Record what the sampler decided; a `new` one must be followed by `add_trial`."""
        with self._write() as seq:
            self._db.execute(
                "INSERT INTO asks SELECT COUNT(*), ?, ?, ?, ? FROM asks", (seq, json.dumps(decisions), outcome, run_key)
            )

    def add_trial(self, decisions: Mapping[str, Any], config: TrialConfig, run_key: str) -> None:
        """Record a `new` ask and its trial, together."""
        text = config.model_dump_json(by_alias=True)
        with self._write() as seq:
            self._db.execute(
                "INSERT INTO asks SELECT COUNT(*), ?, ?, 'new', ? FROM asks", (seq, json.dumps(decisions), run_key)
            )
            self._db.execute(
                "INSERT INTO trials SELECT ?, COUNT(*) + 1, ?, 'interrupted', NULL, NULL, 0 FROM trials",
                (run_key, text),
            )

    def start_attempt(self, run_key: str, *, gpus: float = 0, cpus: float = 0) -> int:
        """Record a new attempt at a trial, with what it holds, and return its number, from 1."""
        with self._write():
            ((number,),) = self._db.execute("SELECT COUNT(*) + 1 FROM attempts WHERE run_key=?", (run_key,)).fetchall()
            self._db.execute(
                "INSERT INTO attempts(run_key, attempt, state, started, gpus, cpus) VALUES(?, ?, 'running', ?, ?, ?)",
                (run_key, number, time.time(), gpus, cpus),
            )
            self._db.execute("UPDATE trials SET state='running', reason=NULL WHERE run_key=?", (run_key,))
        return int(number)

    def add_epoch(self, run_key: str, attempt: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record an epoch; one that is known already stays as it is."""
        with self._write() as seq:
            self._db.execute(
                "INSERT OR IGNORE INTO epochs VALUES(?, ?, ?, ?, ?, ?)",
                (seq, run_key, attempt, epoch, time.time(), json.dumps(metrics)),
            )

    def set_host(self, run_key: str, attempt: int, host: str) -> None:
        """Record on which machine an attempt runs."""
        with self._write():
            self._db.execute("UPDATE attempts SET host=? WHERE run_key=? AND attempt=?", (host, run_key, attempt))

    def set_origin(self, run_key: str, attempt: int, from_epoch: int, note: str | None, device: str) -> None:
        """Record where an attempt goes on, what was wrong with a checkpoint, and what it trains on."""
        with self._write():
            self._db.execute(
                "UPDATE attempts SET from_epoch=?, note=?, device=? WHERE run_key=? AND attempt=?",
                (from_epoch, note, device, run_key, attempt),
            )

    def charge(self, seconds: Mapping[tuple[str, int], float], wall_s: float = 0.0) -> None:
        """Record for how long attempts, by (run_key, attempt), have held their resources; and add to the wall time."""
        with self._write():
            self._db.executemany(
                "UPDATE attempts SET seconds=? WHERE run_key=? AND attempt=?",
                [(held, key, attempt) for (key, attempt), held in seconds.items()],
            )
            self._db.execute("INSERT OR IGNORE INTO meta VALUES('wall_s', '0')")
            self._db.execute("UPDATE meta SET value = CAST(value AS REAL) + ? WHERE key='wall_s'", (wall_s,))

    def usage(self) -> Usage:
        """What the sweep has cost so far."""
        ((gpu_s, cpu_s, trials),) = self._read(
            "SELECT COALESCE(SUM(gpus * seconds), 0), COALESCE(SUM(cpus * seconds), 0), COUNT(DISTINCT run_key) "
            "FROM attempts"
        )
        return Usage(gpu_s / 3600, cpu_s / 3600, float(self.meta("wall_s") or 0) / 3600, trials)

    def end_attempt(
        self,
        run_key: str,
        attempt: int,
        state: State,
        reason: str | None = None,
        failure: Failure | None = None,
        *,
        at: float | None = None,
    ) -> None:
        """Record how an attempt, and with it the trial, ended; now, if it is not said when."""
        with self._write() as seq:
            self._db.execute(
                "UPDATE attempts SET state=?, ended=?, reason=?, failure=? WHERE run_key=? AND attempt=?",
                (state, time.time() if at is None else at, reason, failure, run_key, attempt),
            )
            ended = seq if state in ENDED else None
            self._db.execute(
                "UPDATE trials SET state=?, ended_seq=?, reason=? WHERE run_key=?", (state, ended, reason, run_key)
            )

    def interrupt_running(self) -> None:
        """Mark what a dead driver left running as interrupted, at the last sign of life."""
        for attempt in self.attempts():
            if attempt.state == "running":
                place = attempt.run_key, attempt.attempt
                ((last,),) = self._read("SELECT MAX(at) FROM epochs WHERE run_key=? AND attempt=?", place)
                at = max(attempt.started + attempt.seconds, last or 0)
                self.end_attempt(*place, "interrupted", "the driver ended", at=at)

    def reopen(self, run_keys: Iterable[str]) -> None:
        """Make ended trials due for another attempt, with their past forgiven."""
        with self._write():
            self._db.executemany(
                "UPDATE trials SET state='interrupted', ended_seq=NULL, reason=NULL, retried_after="
                "(SELECT COUNT(*) FROM attempts a WHERE a.run_key=trials.run_key) WHERE run_key=?",
                [(key,) for key in run_keys],
            )

    def asks(self) -> list[Ask]:
        """All asks, in order."""
        rows = self._read("SELECT number, seq, decisions, outcome, run_key FROM asks ORDER BY number")
        return [Ask(number, seq, json.loads(decisions), outcome, key) for number, seq, decisions, outcome, key in rows]

    def trials(self) -> list[Trial]:
        """All trials, by number."""
        rows = self._read(
            "SELECT run_key, number, config, state, ended_seq, reason, retried_after FROM trials ORDER BY number"
        )
        return [Trial(key, n, TrialConfig.model_validate_json(c), *rest) for key, n, c, *rest in rows]

    def seconds_before(self, run_key: str, attempt: int) -> float:
        """Seconds that the attempts before this one held their resources, since the trial was last retried."""
        rows = self._read(
            "SELECT COALESCE(SUM(seconds), 0) FROM attempts a JOIN trials t USING(run_key) "
            "WHERE run_key=? AND attempt < ? AND attempt > retried_after",
            (run_key, attempt),
        )
        return float(rows[0][0])

    def states(self) -> list[State]:
        """The states of all trials, by number."""
        return [state for (state,) in self._read("SELECT state FROM trials ORDER BY number")]

    def ended_and_failed(self) -> tuple[int, int]:
        """How many trials have ended, those that are being retried among them; and how many have failed."""
        ((ended, failed),) = self._read(
            "SELECT COALESCE(SUM(ended_seq IS NOT NULL OR retried_after > 0), 0), COALESCE(SUM(state='failed'), 0) "
            "FROM trials"
        )
        return ended, failed

    def failures(self) -> dict[str, Failure]:
        """By run_key: why a trial failed or diverged."""
        return dict(
            self._read(
                "SELECT run_key, a.failure FROM trials t JOIN attempts a USING(run_key) "
                "WHERE t.state IN ('failed', 'diverged') AND a.failure IS NOT NULL "
                "AND attempt = (SELECT MAX(attempt) FROM attempts b WHERE b.run_key = t.run_key)"
            )
        )

    def attempts(self) -> list[Attempt]:
        """All attempts, by trial and number."""
        rows = self._read(
            "SELECT run_key, attempt, a.state, started, ended, a.reason, failure, from_epoch, note, seconds, gpus, "
            "cpus, host, device FROM attempts a JOIN trials t USING(run_key) ORDER BY t.number, attempt"
        )
        return [Attempt(*row) for row in rows]

    def epochs(self, run_key: str | None = None, *, after: int = 0) -> list[Epoch]:
        """Epochs beyond `seq` = `after`, of one trial or all, in order of recording."""
        query = "SELECT seq, run_key, attempt, epoch, at, metrics FROM epochs WHERE {} seq > ? ORDER BY seq"
        if run_key is None:
            rows = self._read(query.format(""), (after,))
        else:  # the plus keeps SQLite from going through all trials in the order of seq
            rows = self._read(query.format("run_key = ? AND +"), (run_key, after))
        return [Epoch(seq, key, attempt, epoch, at, json.loads(m)) for seq, key, attempt, epoch, at, m in rows]

    def latest_epochs(self) -> dict[str, Epoch]:
        """By run_key: the furthest epoch of a trial, from the last attempt that came so far."""
        rows = self._read(
            "SELECT seq, run_key, attempt, epoch, at, metrics, MAX(epoch * 1000000 + attempt) FROM epochs "
            "GROUP BY run_key"
        )
        return {key: Epoch(seq, key, attempt, epoch, at, json.loads(m)) for seq, key, attempt, epoch, at, m, _ in rows}

    def tracked(self) -> dict[tuple[str, int], tuple[str, int, str]]:
        """By (run_key, attempt): the MLflow run, the last `seq` shipped, and the state shipped."""
        rows = self._read("SELECT run_key, attempt, mlflow_run, shipped_seq, shipped_state FROM tracked")
        return {(key, attempt): (run, seq, state) for key, attempt, run, seq, state in rows}

    def set_tracked(self, run_key: str, attempt: int, mlflow_run: str, seq: int, state: str) -> None:
        """Record what MLflow has of an attempt."""
        with self._write():
            self._db.execute(
                "INSERT OR REPLACE INTO tracked VALUES(?, ?, ?, ?, ?)", (run_key, attempt, mlflow_run, seq, state)
            )

    def forget_tracked(self) -> None:
        """Forget every MLflow run: the tracker is another one now."""
        with self._write():
            self._db.execute("DELETE FROM tracked")


def _connect(path: Path) -> sqlite3.Connection:
    if os.access(path.parent, os.W_OK):
        return sqlite3.connect(path, timeout=30, isolation_level=None, check_same_thread=False)
    # On read-only storage nobody writes it, and SQLite may make no files of its own beside it.
    journal = path.with_name(path.name + "-wal")
    if journal.exists() and journal.stat().st_size:  # a killed driver's last words are there
        return _in_memory(path, journal)
    frozen = f"file:{quote(str(path.absolute()))}?mode=ro&immutable=1"
    return sqlite3.connect(frozen, uri=True, isolation_level=None, check_same_thread=False)


def _in_memory(path: Path, journal: Path) -> sqlite3.Connection:
    whole = sqlite3.connect(":memory:", isolation_level=None, check_same_thread=False)
    with tempfile.TemporaryDirectory() as folder:
        for file in (path, journal):
            shutil.copy(file, folder)
        with closing(sqlite3.connect(Path(folder) / path.name)) as copy:
            copy.backup(whole)
    return whole


@contextmanager
def lease(folder: Path) -> Iterator[None]:
    """Hold the right to write a sweep's ledger. The operating system frees it when the process ends, however it ends.

    Raises:
        LedgerError: If another process holds it, naming host and process; or the folder cannot be written.
    """
    owner = folder / OWNER
    lock = FileLock(folder / _LOCK)
    try:
        lock.acquire(timeout=LOCK_S)
    except Timeout:
        held = _owner(folder)
        who = f"process {held['pid']} on {held['host']}" if held else "another process"
        raise LedgerError(
            f"the sweep in {folder} is being run by {who}; wait for it or stop it there, or run under another name "
            f"with --set name=..."
        ) from None
    except OSError as error:
        raise LedgerError(f"{folder} cannot be written: {error.strerror}; choose another --storage.") from error
    try:
        owner.write_text(json.dumps({"host": socket.gethostname(), "pid": os.getpid(), "since": time.time()}))
        yield
    finally:
        owner.unlink(missing_ok=True)
        lock.release()


def live_driver(folder: Path) -> dict[str, Any] | None:
    """Who runs the sweep now: `host`, `pid`, `since`; `None` if nobody does, whatever a dead driver's note says.

    The lock decides, as for `lease`, also about a driver on another machine or in another container. Where it cannot be
    asked (no such file, or a file system without locks), a note is believed unless it names a process that is not here.
    """
    held = _owner(folder)
    if held is None:
        return None
    try:
        with (folder / _LOCK).open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)  # shared: readers do not take each other for drivers
    except BlockingIOError:
        return held
    except OSError:
        dead = held["host"] == socket.gethostname() and not lives(held["pid"])
        return None if dead else held
    return None


def _owner(folder: Path) -> dict[str, Any] | None:
    try:
        held: dict[str, Any] = json.loads((folder / OWNER).read_text())
    except (OSError, ValueError):
        return None
    return held if {"host", "pid"} <= held.keys() else None
