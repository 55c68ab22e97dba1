import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import ray

from search_spaces import parse_sweep
from search_spaces.sweep import Budget
from tune_jobs.driver import placement as machines
from tune_jobs.driver.controller import Desk
from tune_jobs.driver.limits import Halt, halt_for_limits
from tune_jobs.errors import ClusterError
from tune_jobs.executors.ray_tune.hooks import DeskScheduler, DeskSearcher, DeskStopper
from tune_jobs.executors.ray_tune.worker_loss import classify_loss
from tune_jobs.record.folder import SweepFolder
from tune_jobs.record.ledger import Ledger
from tune_jobs.search.queue import Job, Search

SPEC = parse_sweep("""
name: desk
space:
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5, 0.75, 1]}, k: 4}}
  training: {epochs: 3}
""")
BEGIN = {"kind": "begin", "node": None, "host": "n", "shared": True}


def epoch(number: int) -> dict[str, Any]:
    return {"kind": "epoch", "epoch": number, "metrics": '{"val/accuracy": 0.5}'}


class Events:
    """What a desk told, and the desk."""

    def __init__(self, tmp_path: Path, **options: Any) -> None:
        self.ledger = Ledger(tmp_path / "ledger.db", create=True)
        self.told: list[tuple[str, int, Any]] = []
        self.stops = 0
        self.desk = Desk(Search(SPEC, self.ledger), self.task, self.tell, begin_stop=self.begin_stop, **options)

    def task(self, job: Job) -> dict[str, Any]:
        return {"number": job.number, "attempt": job.attempt}

    def tell(self, event: str, job: Job, details: dict[str, Any]) -> None:
        self.told.append((event, job.number, details.get("state")))

    def begin_stop(self) -> None:
        self.stops += 1


def test_workers_that_never_start_cost_no_trial_and_end_the_sweep_soon(tmp_path: Path) -> None:
    events = Events(tmp_path)
    desk, ledger = events.desk, events.ledger
    searcher, stopper = DeskSearcher(desk), DeskStopper(desk)
    for number in range(3):
        assert not stopper.stop_all()
        searcher.suggest(str(number))
        searcher.on_trial_complete(str(number), error=True)
    assert stopper.stop_all()
    assert isinstance(desk.error, ClusterError)
    assert "3 worker processes in a row did not start" in str(desk.error)
    assert [trial.state for trial in ledger.trials()] == ["interrupted"]  # the same one, tried again each time
    assert searcher.suggest("3") == "FINISHED"


def test_a_lost_worker_costs_its_trial_nothing(tmp_path: Path) -> None:
    events = Events(tmp_path)
    searcher = DeskSearcher(events.desk)
    assert searcher.suggest("0") == {"number": 1, "attempt": 1}
    events.desk.record("0", BEGIN)
    searcher.on_trial_complete("0", error=True)
    assert events.ledger.states() == ["interrupted"]
    assert searcher.suggest("1") == {"number": 1, "attempt": 2}
    assert events.told == [
        ("start", 1, None),
        ("end", 1, "interrupted"),
        ("over", 1, "interrupted"),
        ("start", 1, None),
    ]


def test_workers_that_fail_to_start_together_as_their_machine_died_end_nothing(tmp_path: Path) -> None:
    events = Events(tmp_path)
    searcher = DeskSearcher(events.desk)
    for trial_id in "abc":
        searcher.suggest(trial_id)
    for trial_id in "abc":
        searcher.on_trial_complete(trial_id, error=True)
    assert events.desk.error is None
    assert [searcher.suggest(trial_id) for trial_id in "def"] == [{"number": n, "attempt": 2} for n in (1, 2, 3)]


def test_a_trial_that_ran_out_of_memory_on_the_cpu_runs_again_with_none_beside_it(tmp_path: Path) -> None:
    events = Events(tmp_path)
    desk, searcher = events.desk, DeskSearcher(events.desk)
    for trial_id in "abcd":
        searcher.suggest(trial_id)
    desk.record("a", {"kind": "failed", "failure": "oom", "reason": "no memory"})
    for trial_id in "bc":
        desk.end(trial_id, "complete")
    assert searcher.suggest("e") is None  # the fourth still runs
    desk.end("d", "complete")
    assert searcher.suggest("e") == {"number": 1, "attempt": 2}
    assert searcher.suggest("f") is None


def test_a_worker_that_ends_no_epoch_for_long_is_killed_as_lost(tmp_path: Path) -> None:
    events = Events(tmp_path)
    DeskSearcher(events.desk).suggest("0")
    events.desk.record("0", BEGIN)
    run = events.desk.running["0"]
    now = time.monotonic()
    run.started, run.epoch_s, run.reported = now - 2000, 60.0, now - 1000  # twenty epochs would be 1,200 s
    events.desk.tick(at_once=True)
    assert run.lost is None
    run.reported = now - 1300
    events.desk.tick(at_once=True)
    DeskSearcher(events.desk).on_trial_complete("0", error=True)
    (attempt,) = events.ledger.attempts()
    assert (attempt.failure, attempt.reason) == ("lost_worker", "the worker hung")


def test_a_time_limit_counts_from_the_start_of_the_worker(tmp_path: Path) -> None:
    events = Events(tmp_path, max_trial_s=lambda _: 0.0)
    DeskSearcher(events.desk).suggest("0")
    run = events.desk.running["0"]
    events.desk.tick(at_once=True)
    assert not run.overdue  # it waits for room
    run.started = time.monotonic()
    events.desk.tick(at_once=True)
    assert run.overdue
    DeskSearcher(events.desk).on_trial_complete("0", error=True)
    assert list(events.ledger.failures().values()) == ["time_limit"]


def test_a_machine_on_which_nothing_starts_ends_nothing_while_others_work(tmp_path: Path) -> None:
    events = Events(tmp_path)
    searcher = DeskSearcher(events.desk)
    searcher.suggest("works")
    events.desk.record("works", BEGIN)
    for number in range(5):
        searcher.suggest(str(number))
        searcher.on_trial_complete(str(number), error=True)
    assert events.desk.error is None


def test_a_sweeps_folder_that_a_worker_does_not_see_is_said_at_once(tmp_path: Path) -> None:
    desk = Events(tmp_path).desk
    DeskSearcher(desk).suggest("0")
    desk.guarded(desk.record)("0", {**BEGIN, "shared": False})
    assert isinstance(desk.error, ClusterError)
    assert "a worker on n does not see the sweep's folder" in str(desk.error)


def test_while_trials_run_the_search_is_not_over_as_one_may_be_lost(tmp_path: Path) -> None:
    events = Events(tmp_path)
    searcher = DeskSearcher(events.desk)
    for number in range(4):
        searcher.suggest(str(number))
    assert searcher.suggest("4") is None
    events.desk.record("3", BEGIN)
    searcher.on_trial_complete("3", error=True)
    assert searcher.suggest("4") == {"number": 4, "attempt": 2}
    for trial_id in ("0", "1", "2", "4"):
        events.desk.end(trial_id, "complete")
    assert searcher.suggest("5") == "FINISHED"


def test_at_a_halt_only_trials_that_will_soon_have_ended_their_epoch_are_waited_for(tmp_path: Path) -> None:
    events = Events(tmp_path)
    desk, searcher, stopper = events.desk, DeskSearcher(events.desk), DeskStopper(events.desk)
    for trial_id in ("quick", "new"):
        searcher.suggest(trial_id)
        desk.record(trial_id, BEGIN)
        desk.record(trial_id, {"kind": "origin", "epoch": 0, "note": None, "device": "cpu"})
    desk.record("quick", epoch(1))
    desk.stop(Halt("signal", "stopped by SIGINT", 2))
    desk.stop(Halt("budget", "the first cause stays"))
    assert (events.stops, desk.halt) == (1, Halt("signal", "stopped by SIGINT", 2))
    assert searcher.suggest("another") == "FINISHED"
    assert not stopper.stop_all()
    desk.record("quick", {"kind": "stopped"})
    assert stopper.stop_all()  # the other one has no speed to judge by
    assert events.ledger.states()[0] == "interrupted"


def test_a_trial_whose_epochs_take_minutes_is_not_waited_for(tmp_path: Path) -> None:
    events = Events(tmp_path)
    DeskSearcher(events.desk).suggest("slow")
    run = events.desk.running["slow"]
    run.epoch_s, run.reported = 600.0, time.monotonic()
    events.desk.stop(Halt("signal", "stopped by SIGTERM", 15))
    assert DeskStopper(events.desk).stop_all()


def test_a_limit_that_is_reached_halts_the_sweep_before_the_next_trial(tmp_path: Path) -> None:
    reached: list[Halt] = []
    events = Events(tmp_path, check=lambda: reached[0] if reached else None)
    searcher = DeskSearcher(events.desk)
    searcher.suggest("0")
    reached.append(Halt("budget", "the budget is used up"))
    assert searcher.suggest("1") == "FINISHED"
    assert events.desk.halt == reached[0]
    assert events.ledger.usage().trials == 1


def test_no_room_in_a_worker_halts_the_sweep_and_keeps_the_trial_due(tmp_path: Path) -> None:
    events = Events(tmp_path)
    DeskSearcher(events.desk).suggest("0")
    events.desk.record("0", {"kind": "failed", "failure": "disk_full", "reason": "No space left on device"})
    assert events.desk.halt is not None
    assert events.desk.halt.cause == "disk"
    assert events.ledger.states() == ["interrupted"]


def test_what_goes_wrong_at_the_desk_ends_the_run_and_is_kept(tmp_path: Path) -> None:
    desk = Events(tmp_path).desk
    searcher, scheduler = DeskSearcher(desk), DeskScheduler(desk)
    searcher.suggest("0")

    class Trial:
        trial_id = "0"

    report = {"kind": "epoch", "epoch": 1, "metrics": "no JSON"}
    assert scheduler.on_trial_result(object(), Trial(), report) == "CONTINUE"  # an exception here would end every trial
    assert isinstance(desk.error, ValueError)
    assert DeskStopper(desk).stop_all()


def test_a_record_that_cannot_be_written_ends_the_run_also_where_no_trial_runs(tmp_path: Path) -> None:
    events = Events(tmp_path)
    events.ledger.close()
    assert DeskSearcher(events.desk).suggest("0") == "FINISHED"  # on `None` Tune would ask again for ten minutes
    assert DeskStopper(events.desk).stop_all()


def test_a_machine_that_does_not_see_the_folder_is_done_without_once_others_do(tmp_path: Path) -> None:
    events = Events(tmp_path)
    desk, searcher = events.desk, DeskSearcher(events.desk)
    searcher.suggest("sees")
    searcher.suggest("blind")
    desk.record("sees", BEGIN)
    desk.record("blind", {**BEGIN, "node": "n2", "shared": False})
    desk.record("blind", epoch(1))  # on its way when the worker was killed
    searcher.on_trial_complete("blind", error=True)
    assert desk.error is None
    assert not events.ledger.failures()
    assert not events.ledger.epochs()
    first, second = events.ledger.attempts()
    assert (first.failure, second.failure) == (None, None)
    assert "n does not see the sweep's folder" in (second.reason or "")
    assert searcher.suggest("again") == {"number": 2, "attempt": 2, "avoid": ["n2"]}


def test_a_trial_whose_images_cannot_be_read_goes_to_another_machine_if_there_is_one(tmp_path: Path) -> None:
    with_room = ["n1", "n2"]
    events = Events(tmp_path, room=lambda without: 4 * len(set(with_room) - set(without)))
    desk, searcher = events.desk, DeskSearcher(events.desk)
    for trial_id in "ab":
        searcher.suggest(trial_id)
    for trial_id in "ab":
        desk.record(trial_id, {**BEGIN, "node": "n1"})
        desk.record(trial_id, {"kind": "failed", "failure": "data", "reason": "no images"})
    assert searcher.suggest("c") == {"number": 1, "attempt": 2, "avoid": ["n1"]}
    with_room.remove("n2")
    assert searcher.suggest("d") == {"number": 2, "attempt": 2}


def test_as_many_trials_run_as_there_is_room_for_now(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machines, "ROOM_S", 0.0)
    most = [0]
    searcher = DeskSearcher(Events(tmp_path, room=lambda _: most[0]).desk)
    assert searcher.suggest("a") == {"number": 1, "attempt": 1}  # it waits for a machine
    assert searcher.suggest("b") is None
    most[0] = 3
    assert searcher.suggest("b") == {"number": 2, "attempt": 1}
    assert searcher.suggest("c") == {"number": 3, "attempt": 1}
    assert searcher.suggest("d") is None


def test_a_worker_that_never_ends_its_first_epoch_is_killed_as_lost(tmp_path: Path) -> None:
    events = Events(tmp_path)
    desk, searcher = events.desk, DeskSearcher(events.desk)
    for trial_id in ("works", "hangs"):
        searcher.suggest(trial_id)
        desk.record(trial_id, BEGIN)
        desk.running[trial_id].started = time.monotonic()
    hanging, now = desk.running["hangs"], time.monotonic()
    hanging.started = hanging.reported = now - 100_000
    desk.tick(at_once=True)
    assert hanging.lost is None  # nobody knows yet how long an epoch takes
    desk.running["works"].reported = now - 60
    desk.record("works", epoch(1))
    hanging.started = hanging.reported = now - 3500
    desk.tick(at_once=True)
    assert hanging.lost is None
    hanging.started = hanging.reported = now - 3700
    desk.tick(at_once=True)
    assert hanging.lost == ("lost_worker", "the worker hung")


def test_at_the_end_of_a_budget_every_epoch_under_way_is_waited_for(tmp_path: Path) -> None:
    spec = replace(SPEC, budget=Budget(wall_hours=1))
    events = Events(tmp_path)
    events.ledger.charge({}, 3601)
    halt = halt_for_limits(spec, SweepFolder(tmp_path), events.ledger)
    assert halt is not None
    assert (halt.cause, halt.exit_code) == ("budget", 5)
    DeskSearcher(events.desk).suggest("slow")
    events.desk.record("slow", BEGIN)
    run = events.desk.running["slow"]
    run.epoch_s, run.reported = 600.0, time.monotonic()
    events.desk.stop(halt)
    assert not DeskStopper(events.desk).stop_all()


@pytest.mark.parametrize(("gpu", "failure"), [(False, "oom"), (True, "lost_worker")])
def test_a_worker_that_ray_killed_for_memory_is_to_blame_only_where_it_can_run_alone(gpu: bool, failure: str) -> None:
    assert classify_loss(ray.exceptions.OutOfMemoryError("killed"), None, gpu=gpu)[0] == failure
