from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from tests.tune_jobs.worker.test_attempt import task
from tune_jobs.executors.base import Gone, Loss, Reported, Update, WorkerUp
from tune_jobs.executors.inline import InlineExecutor, WorkerDied
from tune_jobs.worker.reports import AttemptFailed, Begun, EpochDone, Report, ResumedFrom, StoppedWithSweep
from tune_jobs.worker.task import Task


def three_epochs(given: Task) -> Iterator[Report]:
    yield ResumedFrom(0, None, "cpu")
    for epoch in range(1, 4):
        yield EpochDone(epoch, {"epoch_s": 10.0 * given.attempt})
        if given.stop_file.exists():
            return


def polled(executor: InlineExecutor, until_s: float = 1e9) -> list[tuple[float, Update]]:
    """Return every update with its time, until none is left or the time is reached."""
    found: list[tuple[float, Update]] = []
    while executor.now() < until_s:
        updates = executor.poll(until_s - executor.now())
        found += [(executor.now(), update) for update in updates]
    return found


def tasks(tmp_path: Path, count: int) -> list[Task]:
    return [replace(task(tmp_path / "1"), attempt=number) for number in range(1, count + 1)]


def test_a_task_starts_reports_and_ends_after_the_duration_of_its_epochs(tmp_path: Path) -> None:
    executor = InlineExecutor(three_epochs)
    (one,) = tasks(tmp_path, 1)
    executor.start(one)
    told = polled(executor)
    reports: list[Report] = [Begun(None, "inline", shared=True), ResumedFrom(0, None, "cpu")]
    reports += [EpochDone(epoch, {"epoch_s": 10.0}) for epoch in (1, 2, 3)]
    assert [update for _, update in told] == [
        WorkerUp(one.id),
        *(Reported(one.id, report) for report in reports),
        Gone(one.id, None),
    ]
    assert [time for time, _ in told] == [0, 0, 0, 10, 20, 30, 30]


def test_concurrent_tasks_take_turns_by_the_clock_and_others_wait_for_a_slot(tmp_path: Path) -> None:
    executor = InlineExecutor(three_epochs, slots=2)
    for one in tasks(tmp_path, 3):
        executor.start(one)
    gone = [(time, update.task) for time, update in polled(executor) if isinstance(update, Gone)]
    assert executor.room() == 2
    assert gone == [(30, "key-1"), (60, "key-2"), (120, "key-3")]


def test_a_poll_waits_at_most_its_timeout(tmp_path: Path) -> None:
    executor = InlineExecutor(three_epochs)
    executor.start(tasks(tmp_path, 1)[0])
    assert len(polled(executor, until_s=9.0)) == 3
    assert executor.now() == 9.0


def test_a_stopped_or_killed_task_sends_no_more_reports(tmp_path: Path) -> None:
    executor = InlineExecutor(three_epochs, slots=2)
    stopped, killed = tasks(tmp_path, 2)
    executor.start(stopped)
    executor.start(killed)
    before = polled(executor, until_s=15.0)
    assert Reported(stopped.id, EpochDone(1, {"epoch_s": 10.0})) in [update for _, update in before]
    executor.stop(stopped.id)
    executor.kill(killed.id)
    after = polled(executor)
    assert after == [
        (15.0, Gone(stopped.id, None)),
        (15.0, Gone(killed.id, Loss("lost_worker", "the worker process died"))),
    ]


def test_a_death_is_reported_as_scripted_and_an_exception_as_a_report(tmp_path: Path) -> None:
    def dies(_: Task) -> Iterator[Report]:
        yield EpochDone(1, {})
        raise WorkerDied("preempted", "taken away", after_s=5.0)

    def breaks(given: Task) -> Iterator[Report]:
        yield EpochDone(1, {})
        raise ValueError(given.id)

    (one,) = tasks(tmp_path, 1)
    for objective, end in (
        (dies, (6.0, Gone(one.id, Loss("preempted", "taken away")))),
        (breaks, (1.0, Gone(one.id, None))),
    ):
        executor = InlineExecutor(objective)
        executor.start(one)
        told = polled(executor)
        assert told[-1] == end
    assert told[-2][1] == Reported(one.id, AttemptFailed("user_error", f"ValueError: {one.id}"))


def test_a_task_ends_after_its_epoch_if_the_sweep_stops(tmp_path: Path) -> None:
    executor = InlineExecutor(three_epochs)
    (one,) = tasks(tmp_path, 1)
    one.stop_file.touch()
    executor.start(one)
    assert [update for _, update in polled(executor)][-2:] == [Reported(one.id, StoppedWithSweep()), Gone(one.id, None)]


def test_the_same_tasks_give_the_same_updates(tmp_path: Path) -> None:
    def all_of_it() -> list[tuple[float, Update]]:
        executor = InlineExecutor(three_epochs, slots=3)
        for one in tasks(tmp_path, 5):
            executor.start(one)
        return polled(executor)

    assert all_of_it() == all_of_it()
