import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Halted


def stored(ledger: Ledger) -> dict[str, str]:
    with closing(sqlite3.connect(ledger.path)) as db:
        return dict(db.execute("SELECT key, value FROM meta"))


def test_entries_are_stored_as_the_first_version_wrote_them(ledger: Ledger) -> None:
    meta = ledger.meta
    meta.started, meta.metric, meta.goal, meta.planned = "2026-11-28T09:00:00Z", "val/loss", "minimize", 64
    meta.budget = {"gpu_hours": 24.0, "wall_hours": 1e-7, "trials": 30}
    meta.halted = None
    meta.tracker, meta.tracker_experiment, meta.tracker_experiment_id = "http://host:5000", "λ", "7"
    meta.set_digest("digits", "abc")
    found = stored(ledger)
    assert len(found.pop("sweep_id")) == 32
    assert found == {
        "layout": "5",
        "seq": "11",  # one ask and these entries
        "started": "2026-11-28T09:00:00Z",
        "metric": "val/loss",
        "goal": "minimize",
        "planned": "64",
        "budget": '{"gpu_hours":24.0,"wall_hours":1e-7,"trials":30}',
        "halted": "null",
        "tracker": "http://host:5000",
        "tracker_experiment": "λ",
        "tracker_experiment_id": "7",
        "digest.digits": "abc",
    }
    meta.halted = Halted("budget", "used up: λ")
    assert stored(ledger)["halted"] == '{"cause": "budget", "message": "used up: \\u03bb"}'
    meta.exhausted = True
    assert stored(ledger)["exhausted"] == "true"
    ledger.charge({}, 1.5)
    assert stored(ledger)["wall_s"] == "1.5"


def test_entries_are_read_as_they_were_written(ledger: Ledger) -> None:
    meta, halted = ledger.meta, Halted("disk", "no room")
    meta.budget, meta.planned, meta.halted, meta.exhausted, meta.goal = {"trials": 3}, 8, halted, True, "minimize"
    with closing(Ledger(ledger.path)) as reader:
        read = reader.meta
        assert (read.budget, read.planned, read.halted, read.exhausted) == ({"trials": 3}, 8, halted, True)
        assert (read.goal, read.sweep_id) == ("minimize", meta.sweep_id)


def test_entries_that_were_never_written_have_defaults(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path / "ledger.db", create=True)) as ledger:
        meta = ledger.meta
        assert (meta.metric, meta.goal, meta.budget, meta.wall_s) == ("val/accuracy", "maximize", {}, 0)
        assert (meta.started, meta.planned, meta.halted, meta.digest("digits")) == (None, None, None, None)
        assert not meta.exhausted


def test_entries_that_the_ledger_writes_itself_are_read_only(ledger: Ledger) -> None:
    with pytest.raises(AttributeError, match=r"only the ledger itself writes sweep_id\."):
        ledger.meta.sweep_id = "another"
