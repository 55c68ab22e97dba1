import contextlib
import fcntl
import json
import os
import shutil
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from search_spaces import TrialConfig, run_key
from tune_jobs.errors import LedgerError
from tune_jobs.record.ledger import OWNER, Ledger, Usage, lease, live_driver

CONFIG = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.5, "k": 4}}})
KEY = run_key(CONFIG)
HOLD = """
import sys, time
from pathlib import Path
from tune_jobs.record.ledger import lease
with lease(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as opened:
        opened.add_trial({"space.model.layer.k": 4}, CONFIG, KEY)
        yield opened


def test_what_was_written_is_read_by_another_process_at_once(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY)
    ledger.add_epoch(KEY, attempt, 1, {"val/loss": 0.5, "val/accuracy": 1 / 3})
    with contextlib.closing(Ledger(ledger.path)) as reader:
        (trial,) = reader.trials()
        (epoch,) = reader.epochs(KEY)
        assert (trial.config, trial.state) == (CONFIG, "running")
        assert epoch.metrics == {"val/loss": 0.5, "val/accuracy": 1 / 3}  # to the last bit
        ledger.end_attempt(KEY, attempt, "complete")
        assert [trial.state for trial in reader.trials()] == ["complete"]


def test_what_a_dead_driver_left_running_is_due_again_under_the_next_attempt(ledger: Ledger) -> None:
    assert ledger.start_attempt(KEY) == 1
    ledger.interrupt_running()
    assert [(a.attempt, a.state, a.reason) for a in ledger.attempts()] == [(1, "interrupted", "the driver ended")]
    assert [a.ended for a in ledger.attempts()] == [a.started for a in ledger.attempts()]  # it gave no sign of life
    assert ledger.start_attempt(KEY) == 2


def test_an_epoch_recorded_twice_stays_as_it_was(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY)
    ledger.add_epoch(KEY, attempt, 1, {"val/loss": 0.5})
    ledger.add_epoch(KEY, attempt, 1, {"val/loss": 0.7})
    assert [epoch.metrics for epoch in ledger.epochs()] == [{"val/loss": 0.5}]


def test_a_failed_write_leaves_nothing_behind(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add_trial({}, CONFIG, KEY)  # the key is taken
    assert len(ledger.trials()) == len(ledger.asks()) == 1


def test_a_full_disk_is_said_and_leaves_the_record_whole(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY)
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's own way to have no room
    with pytest.raises(LedgerError, match=r"ledger\.db cannot be written: database or disk is full; make room"):  # noqa: PT012
        for epoch in range(1, 1000):
            ledger.add_epoch(KEY, attempt, epoch, {"val/loss": 0.5, "text": 1 / 3})
    recorded = [epoch.epoch for epoch in ledger.epochs()]
    assert recorded == list(range(1, len(recorded) + 1))
    assert len(recorded) < 999
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    ledger.add_epoch(KEY, attempt, len(recorded) + 1, {"val/loss": 0.5})
    assert len(ledger.epochs()) == len(recorded) + 1


def test_the_furthest_epoch_of_the_last_attempt_counts(ledger: Ledger) -> None:
    for attempt, last in ((1, 3), (2, 3), (3, 2)):
        assert ledger.start_attempt(KEY) == attempt
        for epoch in range(1, last + 1):
            ledger.add_epoch(KEY, attempt, epoch, {"val/loss": attempt + epoch / 10})
    assert ledger.latest_epochs()[KEY].metrics == {"val/loss": 2.3}


def test_what_attempts_held_is_summed_over_failed_ones_too_and_over_drivers(ledger: Ledger) -> None:
    for failure in ("lost_worker", None):
        attempt = ledger.start_attempt(KEY, gpus=0.25, cpus=2)
        ledger.charge({(KEY, attempt): 1800.0}, wall_s=2000)
        ledger.charge({(KEY, attempt): 3600.0}, wall_s=1600)  # the time held so far, not since the last time
        ledger.end_attempt(KEY, attempt, "interrupted", "why", failure)
    with contextlib.closing(Ledger(ledger.path)) as reader:
        assert reader.usage() == Usage(gpu_hours=0.5, cpu_hours=4.0, wall_hours=2.0, trials=1)
        assert reader.seconds_before(KEY, 2) == 3600


def test_a_reopened_trial_is_due_with_its_past_forgiven_and_its_cost_kept(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY, cpus=1)
    ledger.charge({(KEY, attempt): 3600.0})
    ledger.end_attempt(KEY, attempt, "failed", "no such thing", "user_error")
    assert ledger.failures() == {KEY: "user_error"}
    ledger.reopen([KEY])
    (trial,) = ledger.trials()
    assert (trial.state, trial.reason, trial.ended_seq, trial.retried_after) == ("interrupted", None, None, 1)
    assert ledger.failures() == {}
    assert ledger.start_attempt(KEY) == 2
    assert (ledger.seconds_before(KEY, 2), ledger.usage().cpu_hours) == (0, 1)


def test_the_clock_that_counts_cost_does_not_jump(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ledger.start_attempt(KEY, cpus=1)
    monkeypatch.setattr("time.time", lambda: 0.0)  # the wall clock was set back by decades
    ledger.charge({(KEY, attempt): 36.0})
    ledger.end_attempt(KEY, attempt, "complete")
    assert ledger.usage().cpu_hours == 0.01


def test_a_ledger_of_an_earlier_layout_is_brought_up_where_it_can_be_written(tmp_path: Path) -> None:
    old = sqlite3.connect(tmp_path / "ledger.db")
    old.executescript("""
        CREATE TABLE meta(key TEXT PRIMARY KEY, value TEXT NOT NULL);
        INSERT INTO meta VALUES('layout', '1'), ('seq', '9');
        CREATE TABLE trials(run_key TEXT PRIMARY KEY, number INTEGER NOT NULL UNIQUE, config TEXT NOT NULL,
            state TEXT NOT NULL, ended_seq INTEGER, reason TEXT);
        CREATE TABLE attempts(run_key TEXT NOT NULL, attempt INTEGER NOT NULL, state TEXT NOT NULL,
            started REAL NOT NULL, ended REAL, reason TEXT, PRIMARY KEY(run_key, attempt));
    """)
    with old:
        old.execute(
            "INSERT INTO trials VALUES(?, 1, ?, 'failed', 9, 'no')", (KEY, CONFIG.model_dump_json(by_alias=True))
        )
        old.execute("INSERT INTO attempts VALUES(?, 1, 'failed', 100.0, 160.0, 'no')", (KEY,))
    old.close()
    with contextlib.closing(Ledger(tmp_path / "ledger.db")) as ledger:
        assert [(trial.state, trial.retried_after) for trial in ledger.trials()] == [("failed", 0)]
        assert [(attempt.failure, attempt.seconds) for attempt in ledger.attempts()] == [("user_error", 60.0)]
        ledger.reopen([KEY])
        assert ledger.start_attempt(KEY) == 2
        ledger.set_host(KEY, 2, "node-7")
        assert [(attempt.host, attempt.device) for attempt in ledger.attempts()] == [(None, None), ("node-7", None)]


def test_the_order_of_events_is_kept_when_the_clock_jumps(ledger: Ledger, monkeypatch: pytest.MonkeyPatch) -> None:
    attempt = ledger.start_attempt(KEY)
    for epoch, now in enumerate((2000.0, 1000.0, 3000.0), start=1):
        monkeypatch.setattr("time.time", lambda now=now: now)
        ledger.add_epoch(KEY, attempt, epoch, {})
    assert [epoch.epoch for epoch in ledger.epochs()] == [1, 2, 3]


def test_a_missing_damaged_or_newer_ledger_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.db is missing: this folder holds no sweep"):
        Ledger(tmp_path / "ledger.db")
    (tmp_path / "damaged.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(LedgerError, match=r"damaged\.db cannot be used: file is not a database"):
        Ledger(tmp_path / "damaged.db")
    with contextlib.closing(Ledger(tmp_path / "newer.db", create=True)) as newer:
        newer.set_meta("layout", "99")
    with pytest.raises(LedgerError, match=r"newer\.db has layout 99, this version reads 3; use the version that wrote"):
        Ledger(tmp_path / "newer.db")


def test_a_killed_drivers_ledger_on_read_only_storage_is_read_to_its_last_word(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add_epoch(KEY, ledger.start_attempt(KEY), 1, {"val/loss": 0.5})
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("ledger.db*"):  # as a kill leaves them: nearly all is in the -wal file
        shutil.copy(file, copy)
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode == os.W_OK and Path(path) == copy))
    before = sorted(copy.iterdir())
    with contextlib.closing(Ledger(copy / "ledger.db")) as reader:
        assert [epoch.metrics for epoch in reader.epochs()] == [{"val/loss": 0.5}]
    assert sorted(copy.iterdir()) == before


def hold(folder: Path) -> "subprocess.Popen[str]":
    """A process that holds the lease."""
    holder = subprocess.Popen([sys.executable, "-c", HOLD, str(folder)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder


def test_a_second_driver_is_refused_and_a_killed_one_leaves_the_sweep_free(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    refused = pytest.raises(LedgerError, match=f"is being run by process {holder.pid} on .*--set name=")
    with refused, lease(tmp_path):
        pass
    found = live_driver(tmp_path)
    assert found is not None
    assert found["pid"] == holder.pid
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert live_driver(tmp_path) is None
    with lease(tmp_path):
        assert (live_driver(tmp_path) or {})["pid"] == os.getpid()
    assert live_driver(tmp_path) is None


def test_a_driver_elsewhere_counts_until_its_process_ends(tmp_path: Path) -> None:
    holder = hold(tmp_path)
    there = {"host": "a container that is gone", "pid": 7, "since": 0.0}
    (tmp_path / OWNER).write_text(json.dumps(there))  # another name for this machine, other numbers for its processes
    assert live_driver(tmp_path) == there
    os.kill(holder.pid, signal.SIGKILL)
    holder.communicate()
    assert json.loads((tmp_path / OWNER).read_text()) == there
    assert live_driver(tmp_path) is None


def test_who_looks_for_a_driver_is_not_taken_for_one(tmp_path: Path) -> None:
    with lease(tmp_path):
        note = (tmp_path / OWNER).read_text()
    (tmp_path / OWNER).write_text(note)  # as a killed driver leaves it; a process of this number lives
    with (tmp_path / "driver.lock").open() as other:
        fcntl.flock(other, fcntl.LOCK_SH)  # as another reader holds it for a moment
        assert live_driver(tmp_path) is None


@pytest.mark.parametrize(
    ("host", "counts"), [("another one", True), (socket.gethostname(), False)], ids=["there", "here"]
)
def test_where_no_lock_can_be_asked_a_note_counts_unless_its_process_is_not_here(
    tmp_path: Path, host: str, counts: bool
) -> None:
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    (tmp_path / OWNER).write_text(json.dumps({"host": host, "pid": ended.pid, "since": 0.0}))
    assert (live_driver(tmp_path) is not None) is counts
    assert not (tmp_path / "driver.lock").exists()
