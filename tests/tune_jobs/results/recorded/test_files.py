from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.files import of_files
from tune_jobs.results.recorded.table import RecordedTable

RUNS = {"run_id": ["a", "b", "c", "d"], "training.lr": [0.1, 0.2, 0.3, 0.4], "team": ["x", "x", "y", "y"]}
CURVES: dict[str, list[Any]] = {
    "run_id": ["b", "a", "a", "b", "c", "a"],
    "epoch": [1, 1, 2, 2, 1, 3],
    "val_accuracy": [50.0, 10.0, 20.0, None, 70.0, 30.0],
    "val_loss": [0.5, 0.9, 0.8, 0.4, 0.3, 0.7],
    "seconds": [1.0, 2.0, 3.0, 4.0, 5.0, 6.0],
    "host": ["h"] * 6,
}


def read(place: Path, runs: dict[str, Any] = RUNS, curves: dict[str, Any] = CURVES) -> RecordedTable:
    pq.write_table(pa.table(runs), place / "runs.parquet")
    pq.write_table(pa.table(curves), place / "curves.parquet")
    return of_files(place / "runs.parquet", place / "curves.parquet")


def test_epochs_are_sorted_percentages_become_fractions_and_a_missing_value_ends_a_run(tmp_path: Path) -> None:
    table = read(tmp_path)
    assert [run.id for run in table.runs] == ["a", "b", "c"]
    assert set(table.curves) == {"val/accuracy", "val/loss"}
    np.testing.assert_allclose(table.curves["val/accuracy"][0], [0.1, 0.2, 0.3])
    assert list(table.lengths) == [3, 1, 1]
    assert [run.diverged for run in table.runs] == [False, True, False]
    assert table.seconds is not None
    assert list(table.seconds[0]) == [2, 3, 6]
    assert table.dropped == {"without an epoch": 1}
    assert [dict(run.params) for run in table.where(["team=y"]).runs] == [{"training.lr": 0.3, "team": "y"}]


def test_columns_that_are_paths_of_a_sweep_file_make_a_configuration(tmp_path: Path) -> None:
    model = {"model.name": ["vgg11"] * 4, "model.layer.kind": ["conv2d"] * 4}
    table = read(tmp_path, RUNS | model)
    assert [run.config.training.lr for run in table.runs if run.config] == [0.1, 0.2, 0.3]
    assert [run.config for run in read(tmp_path).runs] == [None] * 3  # without a model


@pytest.mark.parametrize(
    ("runs", "curves", "message"),
    [
        ({"run": ["a"]}, CURVES, r"runs.parquet must have a column 'run_id'; it has: run\."),
        (RUNS, {"run_id": ["a"]}, "curves.parquet must have a column 'epoch'"),
        ({"run_id": ["a", "a"]}, CURVES, "every run_id must appear once, got 1 repeat"),
        (RUNS, {"run_id": ["a", "a"], "epoch": [1, 3]}, "run a has 3 instead of 2"),
        (RUNS, {"run_id": ["a", "a"], "epoch": [1, 1]}, "run a has 1 instead of 2"),
        (RUNS, {"run_id": ["a", "a"], "epoch": [1, None]}, "column 'epoch' must have whole numbers"),
        (RUNS, {"run_id": ["a"], "epoch": ["first"]}, "column 'epoch' must have whole numbers"),
        (RUNS, {"run_id": ["z"], "epoch": [1]}, "has no epoch of a run"),
    ],
)
def test_the_error_for_a_wrong_table_states_the_rule(
    tmp_path: Path, runs: dict[str, Any], curves: dict[str, Any], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        read(tmp_path, runs, curves)


def test_a_file_that_is_not_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "runs.parquet").write_text("no")
    with pytest.raises(UsageError, match=r"runs.parquet cannot be read as Parquet"):
        of_files(tmp_path / "runs.parquet", tmp_path / "runs.parquet")


def test_a_table_is_cut_to_epochs_and_counts_the_dropped_runs(tmp_path: Path) -> None:
    table = read(tmp_path).of_epochs(2)
    assert [run.id for run in table.runs] == ["a", "b"]  # b has diverged
    assert table.curves["val/loss"].shape == (2, 2)
    assert table.dropped == {"without an epoch": 1, "shorter than 2 epochs": 1}
    assert table.metric("val/loss") == "val/loss"
    with pytest.raises(UsageError, match=r"has no metric 'test/loss'; it has: val/accuracy, val/loss"):
        table.metric("test/loss")
    with pytest.raises(
        UsageError,
        match=r"--where must be PARAMETER=VALUE with a parameter of the table, got 'lr=1'; did you mean training\.lr",
    ):
        table.where(["lr=1"])
    with pytest.raises(UsageError, match="no run has that value; use one of: x"):
        table.where(["team=z"])


def test_runs_without_a_value_of_the_objective_are_left_out(tmp_path: Path) -> None:
    table = read(tmp_path)
    curves = {**table.curves, "test/loss": np.array([[0.9, 0.8, 0.7], [np.nan] * 3, [np.nan] * 3])}
    found = replace(table, curves=curves).of_metric("test/loss")
    assert [run.id for run in found.runs] == ["a", "b"]  # b has diverged
    assert found.dropped == {"without an epoch": 1, "without test/loss": 1}


def test_seconds_with_a_missing_value_are_ignored(tmp_path: Path) -> None:
    assert read(tmp_path, curves={**CURVES, "seconds": [1.0, 2.0, None, 4.0, 5.0, 6.0]}).seconds is None
