"""The ledger of a sweep, in SQLite. It holds the only state; everything else is rebuilt from it.

It has one writer, the driver, which holds the lease. Anyone may read at any time. `seq` orders everything that the
search has to replay in the same order: asks, epochs, ends, and the requests of users about trials.
"""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from search_spaces import TrialConfig
from tune_jobs.errors import LedgerError
from tune_jobs.failures import Failure
from tune_jobs.record import environment, schema
from tune_jobs.record.environment import Environment
from tune_jobs.record.epochs import COLUMNS, FURTHEST, EpochTable, epoch_of, read_table
from tune_jobs.record.lease import live_driver
from tune_jobs.record.meta import Meta, said_in_a_line
from tune_jobs.record.names import known
from tune_jobs.record.requests import Asked, Request
from tune_jobs.record.rows import ENDED, SEARCH, Ask, AskOutcome, Attempt, Epoch, Role, State, Trial, Usage


class Ledger:
    """Reads and, for the driver, writes a sweep's ledger."""

    def __init__(
        self, path: Path, *, create: bool = False, upgrade: bool = False, now: Callable[[], float] = time.time
    ) -> None:
        """Open the ledger at `path`.

        Args:
            path: The file.
            create: Create it if it is missing, and upgrade its layout; for the driver.
            upgrade: Upgrade its layout; for a holder of the lease. Without `create` or `upgrade`, a ledger with an
                earlier layout is only read, as another process may be writing it.
            now: The wall clock by which attempts and epochs are recorded.

        Raises:
            LedgerError: If it is missing or damaged, has an unknown layout, or must be written and cannot. A file of a
                newer version is not changed.
        """
        self.path = path
        self.now = now
        self._lock = threading.RLock()
        self.meta = Meta(path, self._get_meta, self._set_meta)
        if not create and not path.exists():
            raise LedgerError(f"{path} is missing, so this folder is not a sweep. To list the sweeps: convnn list")
        schema.check_layout(path, lambda: not create and live_driver(path.parent) is not None)
        try:
            new = create and not path.exists()
            if new:
                schema.make_whole(path)
            self._db = schema.connect(path)
            if new or (create and schema.layout_of(self._db) is not None):
                schema.make_tables(self._db, path)
            self._db = schema.upgraded(self._db, path, in_place=create or upgrade)
            layout = schema.layout_of(self._db)
        except (sqlite3.Error, OSError) as error:
            raise LedgerError(f"{path} cannot be opened: {error}; is it complete, and its folder writable?") from error
        schema.require_layout(path, layout)

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _write(self) -> Iterator[int]:
        """Open one transaction, and yield the next `seq`.

        Raises:
            LedgerError: If the disk is full, or the file cannot be written. The ledger is then unchanged.
        """
        try:
            with self._transaction() as seq:
                yield seq
        except sqlite3.OperationalError as error:
            raise LedgerError(
                f"{self.path} cannot be written: {error}; free space or allow writing there, then rerun the same "
                f"command to resume."
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

    def _get_meta(self, key: str) -> str | None:
        rows = self._read("SELECT value FROM meta WHERE key=?", (key,))
        return rows[0][0] if rows else None

    def _set_meta(self, key: str, value: str | None) -> None:
        if value == self._get_meta(key):
            return
        with self._write():
            if value is None:
                self._db.execute("DELETE FROM meta WHERE key=?", (key,))
            else:
                self._db.execute("INSERT OR REPLACE INTO meta VALUES(?, ?)", (key, value))

    def add_ask(self, decisions: Mapping[str, Any], outcome: AskOutcome, run_key: str | None) -> None:
        """Record a decision of the sampler without a new trial; see `add_trial` for a `new` one."""
        with self._write() as seq:
            self._db.execute(schema.NEW_ASK, (seq, json.dumps(decisions), outcome, run_key))

    def add_trial(self, decisions: Mapping[str, Any], config: TrialConfig, run_key: str) -> None:
        """Record a `new` ask and its trial, together."""
        text = config.model_dump_json(by_alias=True)
        with self._write() as seq:
            self._db.execute(schema.NEW_ASK, (seq, json.dumps(decisions), "new", run_key))
            self._db.execute(schema.NEW_TRIAL, (run_key, text, None, SEARCH))

    def add_unasked(self, config: TrialConfig, run_key: str, *, repeat_of: str | None, role: Role = SEARCH) -> None:
        """Record a trial without an ask: another seed of a trial's configuration, or a trial of another role."""
        with self._write():
            self._db.execute(schema.NEW_TRIAL, (run_key, config.model_dump_json(by_alias=True), repeat_of, role))

    def start_attempt(self, run_key: str, *, gpus: float = 0, cpus: float = 0) -> int:
        """Record a new attempt at a trial, with the resources it holds, and return its number, from 1."""
        with self._write():
            ((number,),) = self._db.execute("SELECT COUNT(*) + 1 FROM attempts WHERE run_key=?", (run_key,)).fetchall()
            self._db.execute(
                "INSERT INTO attempts(run_key, attempt, state, started, gpus, cpus) VALUES(?, ?, 'running', ?, ?, ?)",
                (run_key, number, self.now(), gpus, cpus),
            )
            self._db.execute("UPDATE trials SET state='running', reason=NULL WHERE run_key=?", (run_key,))
        return int(number)

    def add_epoch(self, run_key: str, attempt: int, epoch: int, metrics: Mapping[str, float]) -> None:
        """Record an epoch; an epoch that is already recorded stays unchanged."""
        with self._write() as seq:
            row = seq, run_key, attempt, epoch, self.now(), json.dumps(metrics)
            self._db.execute("INSERT OR IGNORE INTO epochs VALUES(?, ?, ?, ?, ?, ?)", row)

    def set_host(self, run_key: str, attempt: int, host: str) -> None:
        """Record on which machine an attempt runs."""
        with self._write():
            self._db.execute("UPDATE attempts SET host=? WHERE run_key=? AND attempt=?", (host, run_key, attempt))

    def set_origin(
        self,
        run_key: str,
        attempt: int,
        from_epoch: int,
        note: str | None,
        device: str,
        *,
        here: Environment | None = None,
    ) -> None:
        """Record where an attempt resumes, a problem with a checkpoint, and the attempt's device and environment."""
        with self._write():
            self._db.execute(
                "UPDATE attempts SET from_epoch=?, note=?, device=?, environment=? WHERE run_key=? AND attempt=?",
                (from_epoch, note, device, environment.encode(here), run_key, attempt),
            )

    def charge(self, seconds: Mapping[tuple[str, int], float], wall_s: float = 0.0) -> None:
        """Record how long attempts, by (run_key, attempt), have held their resources, and add to the wall time."""
        with self._write():
            self._db.executemany(
                "UPDATE attempts SET seconds=? WHERE run_key=? AND attempt=?",
                [(held, key, attempt) for (key, attempt), held in seconds.items()],
            )
            self._db.execute("INSERT OR IGNORE INTO meta VALUES('wall_s', '0')")
            self._db.execute("UPDATE meta SET value = CAST(value AS REAL) + ? WHERE key='wall_s'", (wall_s,))

    @said_in_a_line
    def usage(self) -> Usage:
        """Return what the sweep has cost so far."""
        ((gpu_s, cpu_s, trials),) = self._read(
            "SELECT COALESCE(SUM(gpus * seconds), 0), COALESCE(SUM(cpus * seconds), 0), COUNT(DISTINCT run_key) "
            "FROM attempts"
        )
        return Usage(gpu_s / 3600, cpu_s / 3600, self.meta.wall_s / 3600, trials)

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
        """Record how an attempt, and with it the trial, ended; `at` is the time, now if `None`."""
        with self._write() as seq:
            self._db.execute(
                "UPDATE attempts SET state=?, ended=?, reason=?, failure=? WHERE run_key=? AND attempt=?",
                (state, self.now() if at is None else at, reason, failure, run_key, attempt),
            )
            ended = seq if state in ENDED else None
            self._db.execute(
                "UPDATE trials SET state=?, ended_seq=?, reason=? WHERE run_key=?", (state, ended, reason, run_key)
            )

    def interrupt_running(self) -> None:
        """Mark attempts that a dead driver left running as interrupted, at their last sign of life."""
        for attempt in self.attempts():
            if attempt.state == "running":
                place = attempt.run_key, attempt.attempt
                ((last,),) = self._read("SELECT MAX(at) FROM epochs WHERE run_key=? AND attempt=?", place)
                at = max(attempt.started + attempt.seconds, last or 0)
                self.end_attempt(*place, "interrupted", "the driver ended", at=at)

    def reopen(self, run_keys: Iterable[str]) -> None:
        """Mark ended trials as pending for another attempt; their earlier failures no longer count."""
        keys = [(key,) for key in run_keys]
        with self._write() as seq:
            self._db.executemany(
                "UPDATE trials SET state='interrupted', ended_seq=NULL, reason=NULL, retried_after="
                "(SELECT COUNT(*) FROM attempts a WHERE a.run_key=trials.run_key) WHERE run_key=?",
                keys,
            )
            retried = [(seq, key, self.now()) for (key,) in keys]
            self._db.executemany("INSERT INTO requests VALUES(?, ?, 'retry', ?, NULL)", retried)

    def add_request(self, run_key: str, asked: Asked, why: str | None = None) -> None:
        """Record a user's request about a trial."""
        with self._write() as seq:
            self._db.execute("INSERT INTO requests VALUES(?, ?, ?, ?, ?)", (seq, run_key, asked, self.now(), why))

    @said_in_a_line
    def requests(self) -> list[Request]:
        """Return all requests of users about single trials, in order."""
        rows = self._read("SELECT seq, run_key, asked, at, why FROM requests ORDER BY seq, run_key")
        return [Request(seq, known(key), *rest) for seq, key, *rest in rows]

    @said_in_a_line
    def asks(self) -> list[Ask]:
        """Return all asks, in order."""
        rows = self._read("SELECT number, seq, decisions, outcome, run_key FROM asks ORDER BY number")
        return [Ask(number, seq, json.loads(decisions), outcome, key) for number, seq, decisions, outcome, key in rows]

    @said_in_a_line
    def trials(self, role: Role | None = SEARCH) -> list[Trial]:
        """Return the trials of a role, or of all roles, sorted by number."""
        return list(map(_trial_of, self._read(schema.TRIALS, (role,))))

    @said_in_a_line
    def trial(self, run_key: str) -> Trial:
        """Return the trial with this run key, of any role."""
        (row,) = self._read(schema.ONE_TRIAL, (run_key,))
        return _trial_of(row)

    @said_in_a_line
    def seconds_before(self, run_key: str, attempt: int) -> float:
        """Return how many seconds earlier attempts held their resources, since the trial was last retried."""
        rows = self._read(
            "SELECT COALESCE(SUM(seconds), 0) FROM attempts a JOIN trials t USING(run_key) "
            "WHERE run_key=? AND attempt < ? AND attempt > retried_after",
            (run_key, attempt),
        )
        return float(rows[0][0])

    @said_in_a_line
    def states(self) -> list[State]:
        """Return the states of the search's trials, sorted by number."""
        return [state for (state,) in self._read("SELECT state FROM trials WHERE role <> 'confirm' ORDER BY number")]

    @said_in_a_line
    def ended_and_failed(self) -> tuple[int, int]:
        """Return how many trials have ended (or are being retried), and how many failed; without excluded trials."""
        ((ended, failed),) = self._read(
            "SELECT COALESCE(SUM(ended_seq IS NOT NULL OR retried_after > 0), 0), COALESCE(SUM(state='failed'), 0) "
            "FROM trials t WHERE role<>'confirm' AND COALESCE((SELECT asked FROM requests r WHERE r.run_key=t.run_key "
            "AND asked IN ('exclude', 'include') ORDER BY seq DESC LIMIT 1), 'include') = 'include'"
        )
        return ended, failed

    @said_in_a_line
    def failures(self) -> dict[str, Failure]:
        """Return the failure class of each failed or diverged trial, by run_key."""
        return dict(
            self._read(
                "SELECT run_key, a.failure FROM trials t JOIN attempts a USING(run_key) "
                "WHERE t.state IN ('failed', 'diverged') AND a.failure IS NOT NULL "
                "AND attempt = (SELECT MAX(attempt) FROM attempts b WHERE b.run_key = t.run_key)"
            )
        )

    @said_in_a_line
    def attempts(self, *, untracked: bool = False) -> list[Attempt]:
        """Return all attempts, or those that MLflow may not have completely, sorted by trial and number."""
        rows = self._read(schema.UNTRACKED if untracked else schema.ATTEMPTS)
        return [Attempt(known(key, n), n, *(*rest, environment.decode(text))) for key, n, *rest, text in rows]

    @said_in_a_line
    def epochs(self, run_key: str | None = None, *, after: int = 0, most: int = -1) -> list[Epoch]:
        """Return the epochs after `seq` = `after`, of one trial or all, in order of recording; at most `most`."""
        # The plus stops SQLite from scanning all trials in the order of seq.
        one = "" if run_key is None else "run_key = ? AND +"
        query = f"SELECT {COLUMNS} FROM epochs WHERE {one} seq > ? ORDER BY seq LIMIT ?"  # noqa: S608 - no user input
        return list(map(epoch_of, self._read(query, (after, most) if run_key is None else (run_key, after, most))))

    @said_in_a_line
    def epoch_table(self, run_keys: Sequence[str], metrics: Iterable[str]) -> EpochTable:
        """Return all epochs of these trials in columns, with these metrics."""
        with self._lock:
            return read_table(self._db, run_keys, metrics)

    @said_in_a_line
    def latest_epochs(self, epoch: int | None = None) -> dict[str, Epoch]:
        """Return each trial's last epoch, or this one, by run_key, from the latest attempt that reached it."""
        return {found.run_key: found for found in map(epoch_of, self._read(FURTHEST, (epoch,)))}

    @said_in_a_line
    def tracked(self) -> dict[tuple[str, int], tuple[str, int, str]]:
        """Return the MLflow run, the last synced `seq` and the synced state, by (run_key, attempt)."""
        rows = self._read("SELECT run_key, attempt, mlflow_run, shipped_seq, shipped_state FROM tracked")
        return {(key, attempt): (run, seq, state) for key, attempt, run, seq, state in rows}

    def set_tracked(self, run_key: str, attempt: int, mlflow_run: str, seq: int, state: str) -> None:
        """Record which data of an attempt MLflow has."""
        with self._write():
            self._db.execute(
                "INSERT OR REPLACE INTO tracked VALUES(?, ?, ?, ?, ?)", (run_key, attempt, mlflow_run, seq, state)
            )

    def forget_tracked(self) -> None:
        """Forget every MLflow run, as the sweep has a new tracker."""
        with self._write():
            self._db.execute("DELETE FROM tracked")


def _trial_of(row: Sequence[Any]) -> Trial:
    key, number, text, *more, first, role = row
    return Trial(known(key), number, TrialConfig.model_validate_json(text), *(*more, first and known(first), role))
