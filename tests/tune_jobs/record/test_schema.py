import contextlib
import os
import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.tune_jobs.record.conftest import CONFIG, ENVIRONMENT, KEY
from tune_jobs.cli.app import app
from tune_jobs.errors import LedgerError
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.names import OWNER

FILE = "name: sweep\nspace: {data: {name: digits}, model: {layer: {kind: conv2d}}}\n"
NEWER = (
    r"ledger\.db was written by a newer version \(layout 99; this version has 5\); use that version, or a newer one\.$"
)


def test_a_ledger_of_an_earlier_layout_is_upgraded_if_it_can_be_written(tmp_path: Path) -> None:
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
    with contextlib.closing(Ledger(tmp_path / "ledger.db", upgrade=True)) as ledger:
        assert [(trial.state, trial.retried_after) for trial in ledger.trials()] == [("failed", 0)]
        assert [(attempt.failure, attempt.seconds) for attempt in ledger.attempts()] == [("user_error", 60.0)]
        ledger.reopen([KEY])
        assert ledger.start_attempt(KEY) == 2
        ledger.set_host(KEY, 2, "node-7")
        assert [(attempt.host, attempt.device) for attempt in ledger.attempts()] == [(None, None), ("node-7", None)]


def test_a_ledger_of_layout_3_has_no_requests_and_is_upgraded_only_by_the_holder_of_the_lease(
    ledger: Ledger, tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.mkdir()
    with contextlib.closing(sqlite3.connect(old / "ledger.db", isolation_level=None)) as db:
        ledger._db.backup(db)
        db.executescript("""
            DROP TABLE requests;
            ALTER TABLE trials DROP COLUMN repeat_of;
            ALTER TABLE trials DROP COLUMN role;
            ALTER TABLE attempts DROP COLUMN environment;
            UPDATE meta SET value='3' WHERE key='layout';
        """)
    before = (old / "ledger.db").read_bytes()
    with contextlib.closing(Ledger(old / "ledger.db")) as reader:
        assert reader.requests() == []
        assert [(trial.run_key, trial.repeat_of, trial.role) for trial in reader.trials()] == [(KEY, None, "search")]
    assert (old / "ledger.db").read_bytes() == before
    shutil.copy(old / "ledger.db", tmp_path / "again.db")
    for path, create in ((old / "ledger.db", False), (tmp_path / "again.db", True)):
        with contextlib.closing(Ledger(path, create=create, upgrade=not create)) as writer:
            writer.add_request(KEY, "exclude", "why")
            writer.add_unasked(CONFIG, f"{KEY}-s1", repeat_of=KEY)
        with contextlib.closing(Ledger(path)) as reader:
            assert [request.why for request in reader.requests()] == ["why"]
            assert [(trial.number, trial.repeat_of) for trial in reader.trials()] == [(1, None), (2, KEY)]


def test_a_ledger_of_layout_4_has_no_environments_and_is_upgraded_only_by_the_holder_of_the_lease(
    ledger: Ledger, tmp_path: Path
) -> None:
    ledger.start_attempt(KEY)
    old = tmp_path / "old.db"
    with contextlib.closing(sqlite3.connect(old, isolation_level=None)) as db:
        ledger._db.backup(db)
        db.executescript("""
            ALTER TABLE trials DROP COLUMN repeat_of;
            ALTER TABLE trials DROP COLUMN role;
            ALTER TABLE attempts DROP COLUMN environment;
            UPDATE meta SET value='4' WHERE key='layout';
        """)
    before = old.read_bytes()
    with contextlib.closing(Ledger(old)) as reader:
        assert [attempt.environment for attempt in reader.attempts()] == [None]
    assert old.read_bytes() == before
    with contextlib.closing(Ledger(old, upgrade=True)) as writer:
        writer.set_origin(KEY, 1, 0, None, "cpu", here=ENVIRONMENT)
    with contextlib.closing(Ledger(old)) as reader:
        assert [attempt.environment for attempt in reader.attempts()] == [ENVIRONMENT]


def test_a_missing_or_damaged_ledger_is_refused_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(LedgerError, match=r"ledger\.db is missing, so this folder is not a sweep"):
        Ledger(tmp_path / "ledger.db")
    (tmp_path / "damaged.db").write_bytes(b"this is no database" * 100)
    with pytest.raises(LedgerError, match=r"damaged\.db cannot be opened: file is not a database"):
        Ledger(tmp_path / "damaged.db")


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture(params=["at rest", "killed", "killed immediately"])
def newer(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """Return the folder of a sweep that a newer version wrote, or upgraded before it was killed."""
    place, folder = tmp_path / "newer", tmp_path / "storage" / "sweep"
    place.mkdir()
    path = place / "ledger.db"
    Ledger(path, create=True).close()
    db = sqlite3.connect(path, isolation_level=None)
    if request.param == "killed immediately":
        db.execute("PRAGMA journal_mode=WAL")
        db.execute("CREATE TABLE novelty(x)")
    db.execute("UPDATE meta SET value='99' WHERE key='layout'")
    if request.param == "killed":
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("CREATE TABLE novelty(x)")
    if request.param == "at rest":
        db.close()
    (place / "sweep.yaml").write_text(FILE)
    shutil.copytree(place, folder)  # includes the -wal and -shm files, as after a kill or with a running driver
    db.close()
    return folder


def test_a_ledger_of_a_newer_version_is_refused_and_no_file_is_changed(newer: Path) -> None:
    before = contents(newer)
    for create in (False, True):
        with pytest.raises(LedgerError, match=NEWER):
            Ledger(newer / "ledger.db", create=create)
    with pytest.raises(LedgerError, match=NEWER), lease(newer):
        pass
    assert contents(newer) == before


@pytest.mark.parametrize("command", ["run", "resume", "list", "show", "status", "sync"])
def test_no_command_changes_the_sweep_of_a_newer_version(newer: Path, command: str) -> None:
    before = contents(newer)
    subject = [] if command == "list" else [str(newer / "sweep.yaml") if command == "run" else "sweep"]
    done = CliRunner().invoke(app, [command, *subject, "--storage", str(newer.parent)])
    assert done.exit_code == (0 if command == "list" else 1)
    assert "ledger.db was written by a newer version (layout 99; this version has 5)" in " ".join(done.output.split())
    assert contents(newer) == before


def test_a_running_sweep_of_a_newer_version_is_refused_too(tmp_path: Path) -> None:
    with lease(tmp_path), contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as running:
        running._db.execute("UPDATE meta SET value='99' WHERE key='layout'")
        with pytest.raises(LedgerError, match=NEWER):
            Ledger(tmp_path / "ledger.db")
        assert (tmp_path / OWNER).exists()


def test_a_killed_drivers_ledger_on_read_only_storage_is_read_completely(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.add_epoch(KEY, ledger.start_attempt(KEY), 1, {"val/loss": 0.5})
    copy = tmp_path / "copy"
    copy.mkdir()
    for file in tmp_path.glob("ledger.db*"):  # as after a kill: almost all data is in the -wal file
        shutil.copy(file, copy)
    monkeypatch.setattr(os, "access", lambda path, mode: not (mode == os.W_OK and Path(path) == copy))
    before = sorted(copy.iterdir())
    with contextlib.closing(Ledger(copy / "ledger.db")) as reader:
        assert [epoch.metrics for epoch in reader.epochs()] == [{"val/loss": 0.5}]
    assert sorted(copy.iterdir()) == before


def test_a_new_ledger_appears_only_when_it_is_complete(tmp_path: Path) -> None:
    path = tmp_path / "ledger.db"
    seen: list[str] = []
    (tmp_path / ".ledger.db.partial").write_bytes(b"of a process that was killed")
    stop = threading.Event()

    def look() -> None:
        while not stop.is_set():
            if path.exists():
                with contextlib.closing(Ledger(path)) as ledger:
                    seen.append(ledger.meta.sweep_id)

    reader = threading.Thread(target=look)
    reader.start()
    with contextlib.closing(Ledger(path, create=True)) as ledger:
        while not seen and reader.is_alive():
            pass
        stop.set()
        reader.join()
        assert set(seen) == {ledger.meta.sweep_id}
    assert [file.name for file in tmp_path.iterdir()] == ["ledger.db"]
