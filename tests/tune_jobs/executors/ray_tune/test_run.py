"""Tests of how Tune's thread and the driver take turns. Tune itself runs in `tests/tune_jobs/driver/test_run.py`."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from search_spaces.settings import Resources
from tests.tune_jobs.worker.test_attempt import task
from tune_jobs.errors import ClusterError
from tune_jobs.executors.base import Gone, Loss, Order, Reported, Update, WorkerUp
from tune_jobs.executors.ray_tune.hooks import ClosingStopper, ReportScheduler, StartCallback, TaskSearcher
from tune_jobs.executors.ray_tune.run import TuneExecutor
from tune_jobs.system.signals import Signals
from tune_jobs.worker.reports import Begun, EpochDone, encode

ORDER = Order("a-sweep", Resources(), None, Signals())
SOON_S = 10.0


class Trial:
    """The attributes of Tune's Trial that the hooks use."""

    def __init__(self, trial_id: str) -> None:
        self.trial_id = trial_id
        self.temporary_state = None
        self.status = "PENDING"

    def get_pickled_error(self) -> BaseException | None:
        return RuntimeError("died")


class Scripted(TuneExecutor):
    """Calls the hooks from a script in its thread, as Tune would."""

    def __init__(self, script: Callable[["Scripted"], None]) -> None:
        self._script = script
        self.searcher, self.scheduler = TaskSearcher(self), ReportScheduler(self)
        self.starts, self.stopper = StartCallback(self), ClosingStopper(self)
        super().__init__(ORDER)

    def _tune(self) -> None:
        self._script(self)

    def started(self, trial_id: str) -> dict[str, Any]:
        """Start a trial with its worker."""
        told = self.searcher.suggest(trial_id)
        assert isinstance(told, dict)
        self.starts.on_trial_start(0, [], Trial(trial_id))
        return told

    def until_closed(self) -> None:
        while not self.stopper.stop_all():
            time.sleep(0.01)


def polled(executor: TuneExecutor, count: int) -> list[Update]:
    """Return `count` updates, each handled before the next."""
    found: list[Update] = []
    deadline = time.monotonic() + SOON_S
    while len(found) < count:
        assert time.monotonic() < deadline, found
        found += executor.poll(0.05)
    return found


def test_a_free_worker_gets_the_newest_waiting_trial() -> None:
    """Ray may already be starting a worker for an earlier trial."""

    def script(tune: Scripted) -> None:
        tune.until_closed()

    executor = Scripted(script)
    trials = [Trial("t1"), Trial("t2"), Trial("t3")]
    for trial in trials:
        executor.scheduler.on_trial_add(None, trial)
    chosen = []
    for status in ("RUNNING", "ERROR", "TERMINATED"):
        chosen.append(executor.scheduler.choose_trial_to_run(None))
        chosen[-1].status = status
    assert chosen == trials[::-1]
    assert executor.scheduler.choose_trial_to_run(None) is None
    executor.close()


def test_a_task_starts_reports_and_ends(tmp_path: Path) -> None:
    one = task(tmp_path)

    def script(tune: Scripted) -> None:
        assert tune.started("t1")["run_key"] == "key"
        for report in (Begun("n1", "host", shared=True), EpochDone(1, {"val/accuracy": 0.5})):
            assert tune.scheduler.on_trial_result(None, Trial("t1"), encode(report)) == "CONTINUE"
        tune.searcher.on_trial_complete("t1")
        assert tune.searcher.suggest("t2") == "FINISHED"  # without a living trial, it waited until the executor closed

    executor = Scripted(script)
    executor.start(one)
    assert polled(executor, 4) == [
        WorkerUp(one.id),
        Reported(one.id, Begun("n1", "host", shared=True)),
        Reported(one.id, EpochDone(1, {"val/accuracy": 0.5})),
        Gone(one.id, None),
    ]
    executor.close()


def test_a_trial_continues_only_after_its_report_is_handled_and_stops_on_request(tmp_path: Path) -> None:
    answers: list[str] = []

    def script(tune: Scripted) -> None:
        tune.started("t1")
        answers.append(tune.scheduler.on_trial_result(None, Trial("t1"), encode(EpochDone(1, {}))))
        tune.searcher.on_trial_complete("t1")
        tune.until_closed()

    executor = Scripted(script)
    one = task(tmp_path)
    executor.start(one)
    assert len(polled(executor, 2)) == 2
    time.sleep(0.2)
    assert answers == []  # the driver is still handling the report
    executor.stop(one.id)
    assert polled(executor, 1) == [Gone(one.id, None)]
    assert answers == ["STOP"]
    executor.close()


def test_a_workers_death_is_reported_with_its_class(tmp_path: Path) -> None:
    def script(tune: Scripted) -> None:
        tune.started("t1")
        tune.scheduler.on_trial_error(None, Trial("t1"))
        tune.searcher.on_trial_complete("t1", error=True)
        tune.until_closed()

    executor = Scripted(script)
    one = task(tmp_path)
    executor.start(one)
    (_, gone) = polled(executor, 2)
    assert gone == Gone(one.id, Loss("lost_worker", "the worker process died (killed, out of memory or crashed)"))
    executor.close()


def test_closing_releases_a_hook_that_waits_for_the_driver(tmp_path: Path) -> None:
    freed: list[str] = []

    def script(tune: Scripted) -> None:
        tune.started("t1")
        freed.append(tune.scheduler.on_trial_result(None, Trial("t1"), encode(EpochDone(1, {}))))

    executor = Scripted(script)
    executor.start(task(tmp_path))
    assert len(polled(executor, 2)) == 2
    executor.close()
    assert freed == ["CONTINUE"]


def test_the_driver_is_told_why_tune_ended(tmp_path: Path) -> None:
    def script(tune: Scripted) -> None:
        tune.started("t1")

    executor = Scripted(script)
    executor.start(task(tmp_path))
    assert len(polled(executor, 1)) == 1
    with pytest.raises(ClusterError, match=r"Ray ended the run: it ended by itself.*convnn resume a-sweep"):
        polled(executor, 1)

    def broken(_: Scripted) -> None:
        raise ConnectionError("the head is gone")

    with pytest.raises(ClusterError, match="Ray ended the run: the head is gone"):
        polled(Scripted(broken), 1)


def test_an_unreadable_report_raises_in_the_driver(tmp_path: Path) -> None:
    def script(tune: Scripted) -> None:
        tune.started("t1")
        tune.scheduler.on_trial_result(None, Trial("t1"), {"kind": "epoch", "epoch": 1, "metrics": "no JSON"})

    executor = Scripted(script)
    executor.start(task(tmp_path))
    with pytest.raises(ValueError, match="Expecting value"):
        polled(executor, 2)
    executor.close()
