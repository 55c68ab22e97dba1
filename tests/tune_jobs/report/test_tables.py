import csv
import io
import math

import pytest

from tests.tune_jobs.report.drawn import Sweep, rows, words
from tests.tune_jobs.report.hostile import metrics


def test_the_tables_have_every_trial_and_epoch_with_full_precision(sweep: Sweep) -> None:
    sweep.trial([1 / 3, 2 / 3], "complete")
    sweep.trial([0.1], "stopped")
    sweep.trial([], None)
    sweep.page(csv=True)
    board, epochs = (rows(sweep.folder.path / name) for name in ("leaderboard.csv", "epochs.csv"))
    assert {(r["run_key"], int(r["trial"]), r["state"]) for r in board} == {
        (trial.run_key, trial.number, trial.state) for trial in sweep.ledger.trials()
    }
    assert [(r["run_key"], int(r["epoch"]), float(r["val/accuracy"])) for r in epochs] == [
        (epoch.run_key, epoch.epoch, epoch.metrics["val/accuracy"]) for epoch in sweep.ledger.epochs()
    ]
    assert float(board[0]["value"]) == 2 / 3


def test_the_size_of_a_model_is_in_the_table_at_any_epoch(sweep: Sweep) -> None:
    size = {"params": 7.0, "gflops": 0.25, "gflops_published": 0.5}
    sweep.trial([0.5, 0.6], "complete", size=size)
    sweep.trial([0.1], "stopped", size=size)
    sweep.page(csv=True)
    assert [row["gflops"] for row in rows(sweep.folder.path / "leaderboard.csv")] == ["0.25", "0.25"]


def test_failures_are_shown_with_their_reasons(sweep: Sweep) -> None:
    sweep.trial([0.1, math.nan], "diverged", "loss is nan in epoch 2", "diverged")
    sweep.trial([], "failed", "CUDA out of memory", "oom")
    sweep.trial([], "failed", "CUDA out of memory", "oom")
    said = words(sweep.page())
    assert "class trials ended attempts oom 2 2 diverged 1 1" in said
    assert "1 diverged loss is nan in epoch 2" in said


@pytest.mark.parametrize("start", ["=", "+", "-", "@", "\t", "\r", "\n", "＝"])  # noqa: RUF001
def test_no_text_is_a_formula_to_a_spreadsheet(sweep: Sweep, start: str) -> None:
    formula = f"{start}HYPERLINK(A1)"
    sweep.trial([-0.5], "complete")
    metrics(sweep, formula)
    sweep.trial([], "failed", formula, "oom")
    sweep.page(csv=True)
    board = list(csv.reader(io.StringIO((sweep.folder.path / "leaderboard.csv").read_text())))
    cells = [cell for row in board for cell in row if "HYPERLINK" in cell]
    assert cells == [r"\x0dHYPERLINK(A1)" if start == "\r" else f"'{formula}"] * 2


def test_a_negative_number_stays_a_number(sweep: Sweep) -> None:
    sweep.trial([-0.5], "complete")
    sweep.page(csv=True)
    assert rows(sweep.folder.path / "leaderboard.csv")[0]["value"] == "-0.5"


def test_an_excluded_trial_is_named_with_its_reason_and_only_in_csv_tables(sweep: Sweep) -> None:
    for values in ([0.5, 0.75], [0.4, 0.96875], [0.3, 0.625]):
        sweep.trial(values, "complete")
    key = sweep.ledger.trials()[1].run_key
    sweep.ledger.add_request(key, "exclude", "<b>wrong</b> images")
    page = sweep.page(csv=True)
    assert "1 trial is excluded: trial 2 (&lt;b&gt;wrong&lt;/b&gt; images)" in page
    assert "96.88%" not in words(page)
    assert "Best: 75.00% val/accuracy, trial 1" in words(page)
    board, epochs = (rows(sweep.folder.path / name) for name in ("leaderboard.csv", "epochs.csv"))
    assert [(row["trial"], row["excluded"]) for row in board] == [("1", ""), ("3", ""), ("2", "<b>wrong</b> images")]
    assert [row["counts"] for row in epochs] == ["1", "1", "0", "0", "1", "1"]
