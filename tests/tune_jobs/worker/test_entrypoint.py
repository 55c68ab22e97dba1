import math
from collections.abc import Iterator
from pathlib import Path

from convnn.data.errors import DataError
from tests.tune_jobs.worker.test_attempt import task
from tune_jobs.worker.entrypoint import run_attempt
from tune_jobs.worker.reports import AttemptFailed, EpochDone, Report, StoppedWithSweep
from tune_jobs.worker.task import Task


def epochs(until: int, error: Exception | None = None) -> Iterator[Report]:
    yield from (EpochDone(epoch, {}) for epoch in range(1, until + 1))
    if error:
        raise error


def told(tmp_path: Path, until: int, error: Exception | None = None) -> list[Report]:
    reports: list[Report] = []

    def objective(given: Task) -> Iterator[Report]:
        assert given.config.training.epochs == 3
        return epochs(until, error)

    run_attempt(task(tmp_path), reports.append, objective)
    return reports


def test_an_attempt_reports_nothing_after_its_last_epoch(tmp_path: Path) -> None:
    assert told(tmp_path, 3) == [EpochDone(epoch, {}) for epoch in (1, 2, 3)]


def test_an_attempt_that_ends_early_was_stopped_with_the_sweep(tmp_path: Path) -> None:
    assert told(tmp_path, 1)[1:] == [StoppedWithSweep()]


def test_a_metric_that_is_not_finite_is_a_divergence(tmp_path: Path) -> None:
    reports: list[Report] = []

    def objective(_: Task) -> Iterator[Report]:
        yield EpochDone(1, {"val/loss": 0.5, "mine": 1.0})
        yield EpochDone(2, {"val/loss": 0.5, "mine": -math.inf})
        raise AssertionError("the attempt continued")

    run_attempt(task(tmp_path), reports.append, objective)
    assert reports[1:] == [AttemptFailed("diverged", "mine became -inf at epoch 2")]


def test_an_error_is_the_last_report(tmp_path: Path) -> None:
    assert told(tmp_path, 1, ValueError("first\nsecond"))[1:] == [AttemptFailed("user_error", "ValueError: first")]
    (_, data) = told(tmp_path, 1, DataError("no images"))
    assert isinstance(data, AttemptFailed)
    assert (data.failure, data.reason.startswith("no images (on ")) == ("data", True)
    assert told(tmp_path, 0, MemoryError())[-1] == AttemptFailed("oom", "MemoryError: ")
