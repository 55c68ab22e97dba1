from pathlib import Path

import pytest

from search_spaces import TrialConfig
from tests.tune_jobs.shipping import Recorded, recorded
from tune_jobs.errors import UsageError
from tune_jobs.results.opening import open_sweep

HYBRID = {"kind": "hybrid", "lambda": 0.25, "k": 4}
LAYERS = {"a": {"kind": "conv2d"}, "b": HYBRID, "c": {**HYBRID, "lambda": 0.5}}


@pytest.fixture
def sweep(sweep: Recorded) -> Recorded:
    """Three trials that differ in layer and lambda: the third is the best, the first has no result."""
    for key, layer in LAYERS.items():
        tree = {"model": {"name": "vgg11", "layer": layer}, "training": {"epochs": 5, "lr": 1e-3}}
        sweep.ledger.add_trial({}, TrialConfig.model_validate(tree), key)
    sweep.attempt([1, 2], "complete", trial="b")
    sweep.attempt([1, 2, 3], "complete", trial="c")
    return sweep


def test_the_table_has_a_row_per_trial_and_a_column_per_varying_field(sweep: Recorded) -> None:
    results = open_sweep(sweep.folder.path)
    frame = results.to_frame()
    first = ["trial", "run_key", "state", "epoch", "epochs", "val/accuracy"]
    assert list(frame.columns) == [*first, *(column.name for column in results.summary.columns)]
    assert {"kind", "lambda"} <= set(frame.columns)
    assert list(frame["run_key"]) == ["c", "b", "a"]
    named = [*first, "kind", "lambda"]
    assert frame.loc[0, named].tolist() == [3, "c", "complete", 3, 5, results.trials[0].value, "hybrid", 0.5]
    assert frame.loc[2, ["val/accuracy"]].isna().all()
    assert results.best is results.trials[0]


def test_excluded_trials_are_not_in_the_table(sweep: Recorded) -> None:
    sweep.ledger.add_request("c", "exclude", "wrong images")
    results = open_sweep(sweep.folder.path)
    assert list(results.to_frame()["run_key"]) == ["b", "a"]
    assert len(results.trials) == 3


def test_a_sweep_is_opened_by_name_or_folder_and_shows_its_status_in_one_line(sweep: Recorded) -> None:
    storage = sweep.folder.path.parent
    by_name = open_sweep(sweep.folder.name, storage)
    assert repr(by_name) == repr(open_sweep(str(sweep.folder.path)))
    assert repr(by_name).startswith("SweepResults('tracked', 2 of 3 trials ended, best val/accuracy 13.00%)")


def test_an_empty_sweep_has_an_empty_table(tmp_path: Path) -> None:
    with recorded(tmp_path) as empty:
        results = open_sweep(empty.folder.path)
    assert results.to_frame().empty
    assert results.curves().empty
    assert list(results.curves().columns) == ["trial", "epoch"]
    assert "no result yet" in repr(results)


def test_opening_a_missing_sweep_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="there is no sweep 'none'"):
        open_sweep("none", tmp_path)
    with pytest.raises(UsageError, match="is not a sweep folder"):
        open_sweep(tmp_path)


def test_epochs_that_vary_have_one_column(sweep: Recorded) -> None:
    tree = {"model": {"name": "vgg11", "layer": HYBRID}, "training": {"epochs": 9, "lr": 1e-3}}
    sweep.ledger.add_trial({}, TrialConfig.model_validate(tree), "d")
    assert open_sweep(sweep.folder.path).to_frame()["epochs"].tolist() == [5, 5, 5, 9]


def test_the_curves_have_a_row_per_epoch_of_each_trial_that_counts(
    sweep: Recorded,
) -> None:
    sweep.attempt([1], "complete", trial="a")
    sweep.ledger.add_request("a", "exclude", "wrong images")
    results = open_sweep(sweep.folder.path)
    frame = results.curves()
    assert list(frame.columns)[:2] == ["trial", "epoch"]
    assert {"val/accuracy", "lambda"} <= set(frame.columns)
    assert frame[["trial", "epoch"]].to_numpy().tolist() == [[3, 1], [3, 2], [3, 3], [2, 1], [2, 2]]
    assert frame.groupby("trial")["lambda"].unique().map(list).to_dict() == {2: [0.25], 3: [0.5]}
    last = frame.groupby("trial").last()["val/accuracy"].to_dict()
    assert last == {row.number: row.value for row in results.trials if row.counts}


def test_epochs_recorded_after_opening_are_not_in_the_curves(sweep: Recorded) -> None:
    results = open_sweep(sweep.folder.path)
    before = results.curves()
    sweep.ledger.reopen(["b"])
    sweep.attempt([3, 4], "complete", trial="b")
    assert results.curves().equals(before)
    assert len(open_sweep(sweep.folder.path).curves()) == len(before) + 2
