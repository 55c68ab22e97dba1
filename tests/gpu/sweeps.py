"""Real sweeps whose trials share an NVIDIA GPU: `pytest tests/gpu/sweeps.py`."""

import os
import re
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tests.faults import oracle
from tests.faults.driving import environment, wait_for
from tests.faults.failing import HUGE
from tests.faults.oracle import Record
from tests.faults.ray_cluster import Cluster, cluster
from tests.faults.sweeps import Sweep
from tests.system.clusters import Laptop, laptop_of
from tests.tune_jobs.program import convnn, start

SWEEP = Sweep(
    {
        "name": "shared",
        "space": {
            "data": {"name": "digits", "limit": 800},
            "model": {
                "width": 0.25,
                "classifier_width": 64,
                "dropout": 0.0,
                "layer": {"kind": "hybrid", "lambda": {"choice": [0, 0.25, 0.5, 1]}, "k": 9, "patch": 1},
            },
            "training": {
                "lr": 0.001,
                "precision": "bf16",
                "epochs": 8,
                "batch_size": 64,
                "augmentation": "flip_shift",
            },
        },
        "evaluation": {"protocol": "holdout", "fraction": 0.2},
        "resources": {"gpus_per_trial": 0.25, "cpus_per_trial": 2, "checkpoint_every_s": 1},
    }
)
"""Four concurrent trials on one GPU."""


def record_of(storage: Path, sweep: Sweep) -> Record:
    """Return the ledger's record, after checking that nothing in it or in MLflow is missing or duplicated."""
    record = oracle.read(storage / sweep.name / "ledger.db")
    differences = oracle.compare_tracker(record, f"sqlite:///{storage / 'mlflow.db'}", sweep.name)
    assert not differences, str(differences)
    return record


def test_a_plan_is_measured_on_the_gpu_and_doctor_names_it(tmp_path: Path) -> None:
    file = SWEEP.write(tmp_path / "sweep.yaml")
    begun = time.monotonic()
    planned = convnn("plan", file, "--measure", "--gpus", 1, storage=tmp_path)
    print(planned, f"{time.monotonic() - begun:.0f} s")
    assert "GPU" in planned
    checked = convnn("doctor", file, storage=tmp_path)
    print(checked)
    assert re.search(rf"ok +gpu +1: {re.escape(torch.cuda.get_device_name())}", checked)


@pytest.fixture
def head(tmp_path: Path) -> Iterator[Cluster]:
    storage = tmp_path / "sweeps"
    storage.mkdir()
    with cluster(tmp_path, environment(storage, tmp_path, CONVNN_STORAGE=str(storage)), cpus=8, jobs=True) as made:
        yield made


def test_a_cluster_with_a_gpu_passes_the_checks_and_runs_a_sweep(head: Cluster, tmp_path: Path) -> None:
    laptop: Laptop = laptop_of(head, tmp_path / "laptop")
    file = SWEEP.but(name="submitted").write(laptop.home / "sweep.yaml")
    checked = laptop("doctor", file)
    print(checked)
    assert f": 1, {torch.cuda.get_device_name()}" in checked
    print(laptop("submit", file))
    found = laptop.json("status", "submitted")["standing"]
    assert [trial["state"] for trial in found["trials"]] == ["complete"] * 4


def test_four_trials_share_a_gpu_and_their_hours_are_counted(tmp_path: Path) -> None:
    said = convnn("run", SWEEP.write(tmp_path / "sweep.yaml"), storage=tmp_path)
    print(said)
    record = record_of(tmp_path, SWEEP)
    assert [trial.state for trial in record.trials.values()] == ["complete"] * 4
    spans = [(a.started, a.ended or 0.0) for a in record.attempts]
    assert max(sum(begun <= at < ended for begun, ended in spans) for at, _ in spans) == 4
    held = sum(attempt.seconds * attempt.gpus for attempt in record.attempts) / 3600
    assert {attempt.gpus for attempt in record.attempts} == {0.25}
    assert record.usage.gpu_hours == pytest.approx(held)
    assert {attempt.device for attempt in record.attempts} == {torch.cuda.get_device_name()}
    assert "GPU-hours" in said
    assert all(epoch["gpu_mem_gb"] > 0 for trial in record.trials.values() for epoch in trial.epochs.values())
    assert max(trial.epochs[8]["val/accuracy"] for trial in record.trials.values()) > 0.4


def test_a_killed_sweep_resumes_from_its_checkpoints(tmp_path: Path) -> None:
    sweep = SWEEP.but(name="killed", space__training__epochs=16)
    driver = start("run", sweep.write(tmp_path / "sweep.yaml"), storage=tmp_path)
    ledger = tmp_path / sweep.name / "ledger.db"
    wait_for(
        lambda: ledger.exists() and len(list(ledger.parent.glob("trials/*/*/checkpoint-*.pt"))) >= 4, "checkpoints"
    )
    os.killpg(driver.pid, signal.SIGKILL)
    driver.communicate()
    convnn("resume", sweep.name, storage=tmp_path)
    record = record_of(tmp_path, sweep)
    assert all(set(trial.epochs) == set(range(1, 17)) for trial in record.trials.values())
    again = [attempt for attempt in record.attempts if attempt.attempt > 1]
    assert any(attempt.from_epoch for attempt in again)


def test_a_trial_that_does_not_fit_is_retried_alone_on_a_whole_gpu(tmp_path: Path) -> None:
    ours = {"name": "vgg11", **SWEEP.content["space"]["model"]}
    sweep = SWEEP.but(name="huge", space__model={"any_of": [HUGE, ours]})
    said = convnn("run", sweep.write(tmp_path / "sweep.yaml"), storage=tmp_path, expect=3)
    assert "oom" in said
    record = record_of(tmp_path, sweep)
    assert sorted(trial.state for trial in record.trials.values()) == ["complete"] * 4 + ["failed"]
    first, again = [a for a in record.attempts if a.failure is not None]
    assert (first.failure, first.gpus, again.failure, again.gpus) == ("oom", 0.25, "oom", 1)
    others = [a.ended or 0.0 for a in record.attempts if a.failure is None]
    assert (again.ended or 0.0) - again.seconds > max(others) - 1


def test_a_budget_of_gpu_hours_ends_the_sweep_and_a_higher_one_resumes_it(tmp_path: Path) -> None:
    sweep = SWEEP.but(name="frugal", budget={"gpu_hours": 0.001})  # 3.6 s, or 14 s of a quarter
    said = convnn("run", sweep.write(tmp_path / "sweep.yaml"), storage=tmp_path, expect=5)
    assert "budget.gpu_hours" in said
    used = record_of(tmp_path, sweep).usage.gpu_hours
    assert 0.001 <= used < 0.01
    convnn("resume", sweep.name, "--set", "budget.gpu_hours=10", storage=tmp_path)
    assert len(record_of(tmp_path, sweep).trials) == 4
