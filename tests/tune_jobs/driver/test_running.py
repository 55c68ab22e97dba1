import pytest

from search_spaces import Decided
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.driver.running import FIRST_S, SAVE_S, SILENT_EPOCHS, SILENT_S, Running
from tune_jobs.events import Job

JOB = Job("a", 1, 1, SPEC.space.resolve(Decided(next(SPEC.space.points()))))


def test_a_job_holds_its_resources_from_the_start_of_its_worker() -> None:
    run = Running(JOB, asked=10.0)
    assert run.held_s(100.0) == 0.0
    run.started = 40.0
    assert run.held_s(100.0) == 60.0


@pytest.mark.parametrize(("epoch_s", "limit"), [(1.0, SILENT_S), (60.0, SILENT_EPOCHS * 60.0)])
def test_a_worker_hangs_when_it_is_silent_for_long_and_for_many_of_its_epochs(epoch_s: float, limit: float) -> None:
    run = Running(JOB, asked=0.0, started=0.0, reported=100.0, epoch_s=epoch_s)
    assert not run.hangs(100.0 + limit, 0.0)
    assert run.hangs(100.1 + limit, 0.0)


def test_before_its_first_epoch_a_worker_is_judged_by_the_longest_epoch_of_any_trial() -> None:
    run = Running(JOB, asked=0.0, started=50.0)
    assert not run.hangs(1e9, 0.0)  # the length of an epoch is not known yet
    assert not run.hangs(50.0 + FIRST_S, 1.0)
    assert run.hangs(50.1 + FIRST_S, 1.0)
    assert not run.hangs(50.0 + 1000.0 * SILENT_EPOCHS, 1000.0)
    assert not Running(JOB, asked=0.0).hangs(1e9, 1.0)  # it waits for room


def test_the_driver_waits_for_an_epoch_that_will_probably_end_in_time() -> None:
    run = Running(JOB, asked=0.0, started=0.0, reported=100.0, epoch_s=10.0)
    due = 100.0 + 15.0 + SAVE_S
    assert run.ends_epoch_by(101.0, due)
    assert not run.ends_epoch_by(101.0, due - 0.1)
    assert not run.ends_epoch_by(due, due)  # it should have ended
    assert not Running(JOB, asked=0.0, started=0.0).ends_epoch_by(1.0, 1e9)
