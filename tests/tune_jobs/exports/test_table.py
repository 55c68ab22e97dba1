from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from pyarrow import parquet

from tests.tune_jobs.report import hostile
from tests.tune_jobs.report.drawn import Sweep, rows
from tune_jobs.errors import LedgerError
from tune_jobs.exports.table import write_table
from tune_jobs.record.rows import CONFIRM
from tune_jobs.report.tables import EPOCH, TRIAL, Line, epoch_lines


@pytest.fixture
def filled(sweep: Sweep) -> Sweep:
    """Return a sweep with trials of every state and one run of a confirmation."""
    hostile.drawn(sweep)
    config = sweep.ledger.trials()[0].config
    sweep.ledger.add_unasked(config, "confirmed", repeat_of=None, role=CONFIRM)
    attempt = sweep.ledger.start_attempt("confirmed")
    sweep.ledger.add_epoch("confirmed", attempt, 1, {"test/accuracy": 1 / 3})
    sweep.ledger.end_attempt("confirmed", attempt, "complete")
    return sweep


def test_the_tables_have_the_rows_and_columns_of_the_report_plus_confirmation_runs(filled: Sweep) -> None:
    place = filled.folder.path
    filled.page(csv=True)
    for name, epochs in (("leaderboard", False), ("epochs", True)):
        report, export = place / f"{name}.csv", place / f"exported-{name}.csv"
        count = write_table(filled.folder, export, "csv", epochs=epochs)
        found = rows(export)
        assert len(found) == count
        searched = [row for row in found if row["role"] == "search"]
        same = rows(report)[0].keys()
        assert [{column: row[column] for column in same} for row in searched] == rows(report)
        (confirmed,) = [row for row in found if row["role"] == "confirm"]
        assert float(confirmed["test/accuracy"]) == 1 / 3


@pytest.mark.parametrize("epochs", [False, True])
def test_parquet_and_csv_have_the_same_content(filled: Sweep, tmp_path: Path, epochs: bool) -> None:
    for kind in ("csv", "parquet"):
        write_table(filled.folder, tmp_path / f"table.{kind}", kind, epochs=epochs)
    text, table = pd.read_csv(tmp_path / "table.csv"), pd.read_parquet(tmp_path / "table.parquet")
    assert list(table.columns) == list(text.columns)
    assert list(table.columns[: len(EPOCH if epochs else TRIAL) + 1]) == ["role", *(EPOCH if epochs else TRIAL)]
    for name in table.columns:
        pd.testing.assert_series_equal(table[name], text[name], check_dtype=False)
    assert pd.api.types.is_integer_dtype(table["trial"])


def test_a_column_of_numbers_and_words_is_text(sweep: Sweep, tmp_path: Path) -> None:
    for _ in range(2):
        sweep.trial([0.5], "complete")
    for trial, value in zip(sweep.ledger.trials(), ('"a word"', "1"), strict=True):
        sweep.ledger._db.execute(
            "UPDATE epochs SET metrics = ? WHERE run_key = ?", (f'{{"val/accuracy": 0.5, "x": {value}}}', trial.run_key)
        )
    write_table(sweep.folder, tmp_path / "table.parquet", "parquet")
    assert set(parquet.read_table(tmp_path / "table.parquet")["x"].to_pylist()) == {"a word", "1"}


def test_terminal_escapes_and_invalid_text_are_visible(sweep: Sweep, tmp_path: Path) -> None:
    sweep.trial([0.5], "failed", "\x1b[2J =1+1", "oom")
    hostile.metrics(sweep, "=a metric \ud800")
    write_table(sweep.folder, tmp_path / "table.parquet", "parquet")
    table = parquet.read_table(tmp_path / "table.parquet")
    assert table["=a metric \\ud800"].to_pylist() == [0.5]
    assert table["reason"].to_pylist() == ["\\x1b[2J =1+1"]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_epochs_recorded_during_an_export_are_left_out(
    sweep: Sweep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: Any
) -> None:
    sweep.trial([0.5], None, n=3)
    (trial,) = sweep.ledger.trials()
    lines = epoch_lines

    def growing(*arguments: Any) -> Iterator[Line]:
        yield from lines(*arguments)
        sweep.ledger.add_epoch(trial.run_key, 1, 2, {"val/accuracy": 0.6, "n": 3.5, "new": 1.0})

    monkeypatch.setattr("tune_jobs.exports.table.epoch_lines", growing)
    file = tmp_path / f"table.{kind}"
    assert write_table(sweep.folder, file, kind, epochs=True) == 1
    found = pd.read_csv(file) if kind == "csv" else pd.read_parquet(file)
    assert found[["epoch", "n"]].to_numpy().tolist() == [[1, 3]]
    assert "new" not in found


def test_a_failed_write_leaves_no_file(sweep: Sweep, tmp_path: Path) -> None:
    sweep.trial([0.5], "complete")
    for kind in ("csv", "parquet"):
        with pytest.raises(
            LedgerError, match=r"cannot be written: No such file.*; give a file in an existing, writable"
        ):
            write_table(sweep.folder, tmp_path / "none" / "table", kind)
    assert not list(tmp_path.glob("*table*"))
