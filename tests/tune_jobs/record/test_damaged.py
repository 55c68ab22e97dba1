"""Files in place of a sweep's ledger that are damaged, of another format, or of an earlier version."""

import contextlib
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.tune_jobs.cli.invoking import invoke, invoke_json
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.folder import SweepFolder

FILE = "name: damaged\nspace: {data: {name: digits}, model: {layer: {kind: conv2d}}}\n"


def _sql(statement: str) -> Callable[[Path], None]:
    """Return a function that changes a ledger with this SQL."""

    def change(ledger: Path) -> None:
        with contextlib.closing(sqlite3.connect(ledger, isolation_level=None)) as db:
            db.executescript(statement)

    return change


def _folder(ledger: Path) -> None:
    ledger.unlink()
    ledger.mkdir()


DAMAGES: dict[str, Callable[[Path], object]] = {
    "garbage": lambda ledger: ledger.write_bytes(b"\xff\x00 no database \x1b[2J" * 200),
    "empty": lambda ledger: ledger.write_bytes(b""),
    "cut off": lambda ledger: ledger.write_bytes(ledger.read_bytes()[:5000]),
    "pages zeroed": lambda ledger: ledger.write_bytes(ledger.read_bytes()[:4096] + bytes(8192)),
    "a folder": _folder,
    "another database": _sql("DROP TABLE meta; DROP TABLE trials; CREATE TABLE songs(title)"),
    "no layout": _sql("DELETE FROM meta WHERE key = 'layout'"),
    "an invalid configuration": _sql("UPDATE trials SET config = '{\"model\": 7}'"),
    "a configuration that is not JSON": _sql("UPDATE trials SET config = 'model'"),
    "invalid metrics": _sql("UPDATE epochs SET metrics = 'high'"),
    "an invalid number": _sql("INSERT INTO meta VALUES('planned', 'many')"),
    "a budget that is not a number": _sql("INSERT OR REPLACE INTO meta VALUES('budget', '{\"cpu_hours\": \"much\"}')"),
    "a budget that is a list": _sql("INSERT OR REPLACE INTO meta VALUES('budget', '[1]')"),
    "an invalid stop reason": _sql("INSERT OR REPLACE INTO meta VALUES('halted', '{\"cause\": [7]}')"),
    "a run key that is a path": _sql("UPDATE attempts SET run_key = '../../a'; UPDATE trials SET run_key = '../../a'"),
    "a blob for a text": _sql("UPDATE trials SET config = x'ff00fe'"),
}


@pytest.fixture(params=DAMAGES)
def damaged(request: pytest.FixtureRequest, sweep: Recorded) -> SweepFolder:
    """Return the folder of a sweep with a damaged ledger, beside an intact one."""
    sweep.attempt([1, 2], "complete")
    folder = SweepFolder(sweep.folder.path.with_name("damaged"))
    folder.path.mkdir()
    with contextlib.closing(sqlite3.connect(sweep.folder.ledger)) as whole:
        whole.execute("VACUUM INTO ?", (str(folder.ledger),))
    folder.spec.write_text(FILE)
    DAMAGES[request.param](folder.ledger)
    return folder


def test_a_damaged_sweep_is_one_line_of_the_list_and_hides_no_other_sweep(
    damaged: SweepFolder, sweep: Recorded
) -> None:
    storage = damaged.path.parent
    told = {found["name"]: found for found in invoke_json("list", storage=storage)["sweeps"]}
    assert told[sweep.folder.name]["error"] is None
    assert str(damaged.ledger) in told[damaged.name]["error"]
    assert "\n" not in told[damaged.name]["error"]
    said = invoke("list", storage=storage)
    assert "\x1b" not in said
    assert "unreadable" in said


def test_every_command_names_the_damaged_file_in_one_line(damaged: SweepFolder) -> None:
    for command in (["show"], ["best"], ["status"], ["report"], ["show", "1"], ["logs", "1"]):
        name, *rest = command
        said = invoke(name, damaged.name, *rest, storage=damaged.path.parent, expect=1)
        lines = said.strip().splitlines()
        assert str(damaged.ledger) in lines[-1]
        assert len(lines) == 1


def test_reading_a_ledger_of_an_earlier_layout_does_not_change_it(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    folder = SweepFolder(sweep.folder.path.with_name("earlier"))
    shutil.copytree(sweep.folder.path, folder.path)
    _sql("""
        ALTER TABLE trials DROP COLUMN repeat_of;
        ALTER TABLE trials DROP COLUMN role;
        ALTER TABLE attempts DROP COLUMN host;
        ALTER TABLE attempts DROP COLUMN device;
        ALTER TABLE attempts DROP COLUMN environment;
        UPDATE meta SET value = '2' WHERE key = 'layout';
        PRAGMA wal_checkpoint(TRUNCATE)
    """)(folder.ledger)
    before = folder.ledger.read_bytes()
    storage = folder.path.parent
    assert [found["error"] for found in invoke_json("list", storage=storage)["sweeps"]] == [None, None]
    for name in (folder.name, sweep.folder.name):
        assert invoke_json("show", name, storage=storage)["trials"][0]["state"] == "complete"
    assert folder.ledger.read_bytes() == before


@pytest.mark.parametrize("number", ["'../../1'", "0", "-1", "1.5", "x'00'"])
def test_an_attempt_without_a_valid_number_never_becomes_a_path(sweep: Recorded, number: str) -> None:
    sweep.attempt([1, 2], "complete")
    _sql(f"UPDATE attempts SET attempt = {number}")(sweep.folder.ledger)  # noqa: S608 - no user input
    said = invoke("show", sweep.folder.name, "1", storage=sweep.folder.path.parent, expect=1)
    assert "which are not valid names" in said
    assert len(said.strip().splitlines()) == 1
