import contextlib
import sqlite3
from pathlib import Path

import pytest

from tests.tune_jobs.record.conftest import CONFIG, KEY
from tune_jobs.errors import LedgerError
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Usage


def test_another_reader_sees_written_rows_immediately(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY)
    ledger.add_epoch(KEY, attempt, 1, {"val/loss": 0.5, "val/accuracy": 1 / 3})
    with contextlib.closing(Ledger(ledger.path)) as reader:
        (trial,) = reader.trials()
        (epoch,) = reader.epochs(KEY)
        assert (trial.config, trial.state) == (CONFIG, "running")
        assert epoch.metrics == {"val/loss": 0.5, "val/accuracy": 1 / 3}  # to the last bit
        ledger.end_attempt(KEY, attempt, "complete")
        assert [trial.state for trial in reader.trials()] == ["complete"]


def test_a_trial_that_a_dead_driver_left_running_gets_a_new_attempt(ledger: Ledger) -> None:
    assert ledger.start_attempt(KEY) == 1
    ledger.interrupt_running()
    assert [(a.attempt, a.state, a.reason) for a in ledger.attempts()] == [(1, "interrupted", "the driver ended")]
    assert [a.ended for a in ledger.attempts()] == [a.started for a in ledger.attempts()]  # there was no sign of life
    assert ledger.start_attempt(KEY) == 2


def test_an_epoch_recorded_twice_stays_unchanged(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY)
    ledger.add_epoch(KEY, attempt, 1, {"val/loss": 0.5})
    ledger.add_epoch(KEY, attempt, 1, {"val/loss": 0.7})
    assert [epoch.metrics for epoch in ledger.epochs()] == [{"val/loss": 0.5}]


def test_a_failed_write_leaves_nothing_behind(ledger: Ledger) -> None:
    with pytest.raises(sqlite3.IntegrityError):
        ledger.add_trial({}, CONFIG, KEY)  # the key is taken
    assert len(ledger.trials()) == len(ledger.asks()) == 1


def test_a_full_disk_is_reported_and_leaves_the_ledger_intact(ledger: Ledger) -> None:
    attempt = ledger.start_attempt(KEY)
    (pages,) = ledger._db.execute("PRAGMA page_count").fetchone()
    ledger._db.execute(f"PRAGMA max_page_count = {pages + 2}")  # SQLite's way to simulate a full disk
    with pytest.raises(LedgerError, match=r"ledger\.db cannot be written: database or disk is full; free space"):  # noqa: PT012
        for epoch in range(1, 1000):
            ledger.add_epoch(KEY, attempt, epoch, {"val/loss": 0.5, "text": 1 / 3})
    recorded = [epoch.epoch for epoch in ledger.epochs()]
    assert recorded == list(range(1, len(recorded) + 1))
    assert len(recorded) < 999
    ledger._db.execute("PRAGMA max_page_count = 1000000")
    ledger.add_epoch(KEY, attempt, len(recorded) + 1, {"val/loss": 0.5})
    assert len(ledger.epochs()) == len(recorded) + 1


def test_the_last_epoch_counts_from_the_latest_attempt_that_reached_it(ledger: Ledger) -> None:
    for attempt, last in ((1, 3), (2, 3), (3, 2)):
        assert ledger.start_attempt(KEY) == attempt
        for epoch in range(1, last + 1):
            ledger.add_epoch(KEY, attempt, epoch, {"val/loss": attempt + epoch / 10})
    assert ledger.latest_epochs()[KEY].metrics == {"val/loss": 2.3}


def test_usage_includes_failed_attempts_and_earlier_drivers(ledger: Ledger) -> None:
    for failure in ("lost_worker", None):
        attempt = ledger.start_attempt(KEY, gpus=0.25, cpus=2)
        ledger.charge({(KEY, attempt): 1800.0}, wall_s=2000)
        ledger.charge({(KEY, attempt): 3600.0}, wall_s=1600)  # the total so far, not the time since the last call
        ledger.end_attempt(KEY, attempt, "interrupted", "why", failure)
    with contextlib.closing(Ledger(ledger.path)) as reader:
        assert reader.usage() == Usage(gpu_hours=0.5, cpu_hours=4.0, wall_hours=2.0, trials=1)
        assert reader.seconds_before(KEY, 2) == 3600


def test_a_reopened_trial_is_pending_without_its_failures_but_with_its_cost(ledger: Ledger) -> None:
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


def test_the_clock_that_counts_cost_does_not_jump(tmp_path: Path) -> None:
    times = iter((2e9, 0.0))  # the wall clock was set back by decades
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True, now=lambda: next(times))) as ledger:
        ledger.add_trial({}, CONFIG, KEY)
        attempt = ledger.start_attempt(KEY, cpus=1)
        ledger.charge({(KEY, attempt): 36.0})
        ledger.end_attempt(KEY, attempt, "complete")
        assert [(found.started, found.ended) for found in ledger.attempts()] == [(2e9, 0.0)]
        assert ledger.usage().cpu_hours == 0.01


def test_the_order_of_events_is_kept_when_the_clock_jumps(tmp_path: Path) -> None:
    times = iter((1.0, 2000.0, 1000.0, 3000.0))
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True, now=lambda: next(times))) as ledger:
        ledger.add_trial({}, CONFIG, KEY)
        attempt = ledger.start_attempt(KEY)
        for epoch in (1, 2, 3):
            ledger.add_epoch(KEY, attempt, epoch, {})
        assert [(epoch.epoch, epoch.at) for epoch in ledger.epochs()] == [(1, 2000.0), (2, 1000.0), (3, 3000.0)]


def test_another_seed_is_a_trial_without_an_ask_and_names_the_first_trial(ledger: Ledger) -> None:
    asks = ledger.asks()
    ledger.add_unasked(CONFIG, f"{KEY}-s1", repeat_of=KEY)
    assert [(trial.number, trial.state, trial.repeat_of) for trial in ledger.trials()] == [
        (1, "interrupted", None),
        (2, "interrupted", KEY),
    ]
    assert ledger.asks() == asks
    ledger._db.execute("UPDATE trials SET repeat_of = '../elsewhere' WHERE number = 2")
    with pytest.raises(LedgerError, match=r"of a run '\.\./elsewhere', which are not valid names"):
        ledger.trials()
