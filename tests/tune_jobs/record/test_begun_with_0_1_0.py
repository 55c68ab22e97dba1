"""A sweep that version 0.1.0 started and interrupted twice; this version finishes it as 0.1.0 would have.

`half.tar.xz` is its folder, without the MLflow store and the report. Trial 1 was interrupted and completed by a second
attempt, 2 is complete, 3 and 4 were stopped by the rule, 5 was interrupted after epoch 3 with a checkpoint, and 6 to 9
have not started. `whole.json` has the trials of the same file, run by 0.1.0 without interruption.
"""

import contextlib
import json
import sqlite3
import sys
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from search_spaces import TrialConfig, run_key
from tests.faults.alone import train
from tests.tune_jobs.cli.invoking import invoke
from tune_jobs.executors.inline import open_inline
from tune_jobs.executors.registry import RAY_TUNE, add_executor, executor_named
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.results.history import curves

HERE = Path(__file__).with_name("begun_with_0_1_0")
NAME = "begun-earlier"
TIMES = ("epoch_s", "images_per_s")
TRIAL = "run_key, number, config, state, ended_seq, reason, retried_after"
ATTEMPT = (
    "run_key, attempt, state, started, ended, reason, failure, from_epoch, note, seconds, gpus, cpus, host, device"
)
KEPT = ("sweep_id", "started", "metric", "goal", "budget", "planned", "digest.digits")


def record(folder: SweepFolder) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of a ledger that never change once they are written, by table."""
    with contextlib.closing(sqlite3.connect(folder.ledger)) as db:
        return {
            "asks": db.execute("SELECT * FROM asks").fetchall(),
            "trials": db.execute(f"SELECT {TRIAL} FROM trials WHERE state <> 'interrupted' ORDER BY number").fetchall(),  # noqa: S608 - no user input
            "attempts": db.execute(f"SELECT {ATTEMPT} FROM attempts").fetchall(),  # noqa: S608
            "epochs": db.execute("SELECT * FROM epochs").fetchall(),
            "meta": [row for row in db.execute("SELECT * FROM meta ORDER BY key") if row[0] in KEPT],
        }


def files(folder: SweepFolder) -> dict[str, bytes]:
    trials = (folder.path / "trials").rglob("*")
    return {str(path.relative_to(folder.path)): path.read_bytes() for path in trials if path.is_file()}


def near(name: str, value: float, loose: float) -> object:
    """Allow for the differences between machines; an accuracy may differ by one of 20 images."""
    return pytest.approx(value, abs=0.06) if "accuracy" in name else pytest.approx(value, rel=loose)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> SweepFolder:
    place = tmp_path_factory.mktemp("storage")
    with tarfile.open(HERE / "half.tar.xz") as archive:
        archive.extractall(place, filter="data")
    return SweepFolder(place / NAME)


@pytest.fixture
def without_ray() -> Iterator[None]:
    """Train in this process: what is read of 0.1.0 does not depend on where trials run."""
    ray = executor_named(RAY_TUNE)
    add_executor(RAY_TUNE, open_inline(train))
    yield
    add_executor(RAY_TUNE, ray)


@pytest.mark.usefixtures("without_ray")
def test_a_sweep_that_0_1_0_started_ends_as_it_would_have_with_0_1_0(
    folder: SweepFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorded, kept = record(folder), files(folder)
    monkeypatch.setattr(sys, "argv", ["convnn", "resume", NAME])
    invoke("resume", NAME, storage=folder.path.parent)

    now = record(folder)
    for table, rows in recorded.items():
        assert [row for row in now[table] if row in rows] == rows, table
    assert len(now["asks"]) == len(now["trials"]) == 9
    logs = {name: content for name, content in kept.items() if name.endswith("log.txt")}
    assert logs.items() <= files(folder).items()
    assert json.loads(folder.manifest.read_text())["starts"][1]["command"][1:] == ["resume", NAME]

    with contextlib.closing(Ledger(folder.ledger)) as ledger:
        trials, attempts, curve_of = ledger.trials(), ledger.attempts(), curves(ledger.epochs())
        tracked = {key for key in ledger.tracked() if key[0]}
    expected = json.loads((HERE / "whole.json").read_text())
    assert [trial.state for trial in trials] == [trial["state"] for trial in expected]
    for trial, whole in zip(trials, expected, strict=True):
        config = TrialConfig.model_validate(whole["config"])
        lr = pytest.approx(config.training.lr, rel=1e-6)  # another machine's last digits
        assert trial.config.training.lr == lr
        assert trial.config == config.model_copy(update={"training": trial.config.training})
        assert trial.run_key == (whole["run_key"] if trial.config == config else run_key(trial.config))
        numbers = [{"epoch": epoch.epoch, **epoch.metrics} for epoch in curve_of[trial.run_key]]
        assert [epoch.keys() - TIMES for epoch in numbers] == [epoch.keys() for epoch in whole["epochs"]]
        recorded_of = sum(1 for row in recorded["epochs"] if trial.run_key in row)
        for number, (epoch, there) in enumerate(zip(numbers, whole["epochs"], strict=True)):
            # new steps differ in the last digits, and evaluation no longer shares random draws with training
            loose = 1e-3 if number < recorded_of else 0.05
            assert [epoch[name] for name in there] == [near(name, value, loose) for name, value in there.items()]
    assert [trial.run_key for trial in trials[:5]] == [trial["run_key"] for trial in expected[:5]]

    again = [attempt for attempt in attempts if attempt.run_key == trials[4].run_key]
    assert [(attempt.state, attempt.from_epoch) for attempt in again] == [("interrupted", 0), ("stopped", 3)]
    assert "The first 3 epochs were trained with version 0.1.0" in (again[1].note or "")
    assert tracked == {(attempt.run_key, attempt.attempt) for attempt in attempts}
