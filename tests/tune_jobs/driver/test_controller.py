import sqlite3
from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.settings import Budget, Resources
from tests.tune_jobs.driver.by_hand import BEGUN, DEAD, FROM_THE_START, ONE_AT_A_TIME, SPEC, Hand, epoch
from tune_jobs.driver import placement
from tune_jobs.driver.limits import Halt, halt_for_limits
from tune_jobs.errors import ClusterError, LedgerError
from tune_jobs.record.folder import SweepFolder
from tune_jobs.worker.reports import AttemptFailed, StoppedWithSweep


def test_workers_that_never_start_fail_no_trial_and_end_the_sweep_soon(tmp_path: Path) -> None:
    hand = Hand(tmp_path, ONE_AT_A_TIME)
    for attempt in (1, 2):
        hand.controller.start_more()
        assert hand.started[-1] == (1, attempt)  # the same trial each time
        hand.gone(1, DEAD)
    hand.controller.start_more()
    with pytest.raises(ClusterError, match="3 worker processes in a row did not start"):
        hand.gone(1, DEAD)
    assert [trial.state for trial in hand.ledger.trials()] == ["interrupted"]


def test_a_lost_worker_does_not_fail_its_trial(tmp_path: Path) -> None:
    hand = Hand(tmp_path, ONE_AT_A_TIME)
    hand.controller.start_more()
    hand.report(1, BEGUN)
    hand.gone(1, DEAD)
    assert hand.ledger.states() == ["interrupted"]
    hand.controller.start_more()
    assert hand.started == [(1, 1), (1, 2)]
    assert hand.told == [
        ("Started", 1, None),
        ("Ended", 1, "interrupted"),
        ("Released", 1, "interrupted"),
        ("Started", 1, None),
    ]


def test_workers_that_fail_to_start_together_do_not_end_the_sweep(tmp_path: Path) -> None:
    hand = Hand(tmp_path, replace(SPEC, resources=Resources(max_concurrent=3)))
    hand.controller.start_more()
    for number in (1, 2, 3):
        hand.gone(number, DEAD)
    hand.controller.start_more()
    assert hand.started == [(1, 1), (2, 1), (3, 1), (1, 2), (2, 2), (3, 2)]


def test_a_trial_that_ran_out_of_memory_on_the_cpu_runs_again_alone(tmp_path: Path) -> None:
    hand = Hand(tmp_path)
    hand.controller.start_more()
    assert len(hand.started) == 4
    hand.report(1, BEGUN, AttemptFailed("oom", "no memory"))
    hand.complete(2)
    hand.complete(3)
    hand.controller.start_more()
    assert len(hand.started) == 4  # the fourth still runs
    hand.complete(4)
    hand.controller.start_more()
    assert hand.started[4:] == [(1, 2)]
    assert not hand.controller.over()


def test_a_worker_that_finishes_no_epoch_for_long_is_killed_as_lost(tmp_path: Path) -> None:
    hand = Hand(tmp_path, ONE_AT_A_TIME)
    hand.controller.start_more()
    hand.up(1)
    hand.report(1, BEGUN, FROM_THE_START)
    hand.executor.clock += 60
    hand.report(1, epoch(1))
    hand.passes(1000)  # twenty epochs would be 1,200 s
    assert not hand.executor.killed
    hand.passes(300)
    assert hand.executor.killed == [hand.task(1)]
    hand.gone(1, DEAD)
    (attempt,) = hand.ledger.attempts()
    assert (attempt.failure, attempt.reason) == ("lost_worker", "the worker hung")


def test_a_time_limit_counts_from_the_start_of_the_worker(tmp_path: Path) -> None:
    hand = Hand(tmp_path, replace(SPEC, resources=Resources(max_concurrent=1, max_trial_hours=0.01)))
    hand.controller.start_more()
    hand.passes(59)
    assert not hand.executor.killed  # it waits for room
    hand.up(1)
    hand.passes(37)
    assert hand.executor.killed == [hand.task(1)]
    hand.gone(1, DEAD)
    assert list(hand.ledger.failures().values()) == ["time_limit"]


def test_a_time_limit_covers_all_attempts_of_a_trial(tmp_path: Path) -> None:
    hand = Hand(tmp_path, replace(SPEC, resources=Resources(max_concurrent=1, max_trial_hours=0.01)))
    for attempt in (1, 2):
        hand.controller.start_more()
        hand.up(1)
        hand.report(1, BEGUN)
        hand.passes(20)
        assert hand.executor.killed == ([] if attempt == 1 else [hand.task(1)])
        hand.gone(1, DEAD)
    assert list(hand.ledger.failures().values()) == ["time_limit"]


@pytest.mark.parametrize(
    ("trained_s", "charged_s"),
    [
        (9.0, 10 + 9),  # the worker kept training during the pause; the driver saw 4 s of the epoch
        (3600.0, 10 + 4 + 10),  # the worker was paused too: no epoch has taken longer than 10 s
        (2.0, 10 + 4),  # the worker waited
    ],
)
def test_training_during_a_pause_of_the_driver_is_charged(tmp_path: Path, trained_s: float, charged_s: float) -> None:
    hand = Hand(tmp_path, replace(SPEC, resources=Resources(max_concurrent=1, max_trial_hours=1)))
    hand.controller.start_more()
    hand.up(1)
    hand.report(1, BEGUN)
    hand.passes(10)
    hand.report(1, epoch(1, 10))
    hand.executor.paused += 3600
    hand.passes(4)
    hand.report(1, epoch(2, trained_s))
    hand.passes(0)
    used = hand.ledger.usage()
    assert used.cpu_hours * 3600 == used.wall_hours * 3600 == pytest.approx(charged_s)
    assert not hand.executor.killed


def test_a_machine_where_no_worker_starts_does_not_end_the_sweep_while_others_work(tmp_path: Path) -> None:
    hand = Hand(tmp_path, room=lambda _: 2)
    hand.controller.start_more()
    hand.report(1, BEGUN)
    for attempt in range(1, 6):
        hand.gone(2, DEAD)
        hand.controller.start_more()
        assert hand.started[-1] == (2, attempt + 1)


def test_a_sweep_folder_that_a_worker_cannot_see_ends_the_run_immediately(tmp_path: Path) -> None:
    hand = Hand(tmp_path)
    hand.controller.start_more()
    with pytest.raises(ClusterError, match="a worker on n cannot see the sweep folder"):
        hand.report(1, replace(BEGUN, shared=False))


def test_a_run_is_not_over_while_trials_run_as_one_may_be_lost(tmp_path: Path) -> None:
    hand = Hand(tmp_path)
    hand.controller.start_more()
    assert len(hand.started) == 4
    hand.report(3, BEGUN)
    hand.gone(3, DEAD)
    hand.controller.start_more()
    assert hand.started[4:] == [(3, 2)]
    for number in (1, 2, 3):
        hand.complete(number)
    assert not hand.controller.over()
    hand.complete(4)
    hand.controller.start_more()
    assert hand.controller.over()


def test_a_run_is_not_over_before_the_last_worker_has_written_its_last_checkpoint(tmp_path: Path) -> None:
    hand = Hand(tmp_path)
    hand.controller.start_more()
    for number in (1, 2, 3):
        hand.complete(number)
    hand.report(4, BEGUN, FROM_THE_START, *map(epoch, (1, 2, 3)))
    assert hand.ledger.states() == ["complete"] * 4
    assert not hand.controller.over()
    hand.passes(599)
    assert not hand.executor.killed
    hand.passes(2)
    assert hand.executor.killed == [hand.task(4)]
    hand.gone(4, DEAD)
    assert hand.controller.over()
    assert hand.told[-1] == ("Released", 4, "complete")


def test_a_stopping_sweep_waits_only_for_trials_whose_epoch_ends_soon(tmp_path: Path) -> None:
    hand = Hand(tmp_path, room=lambda _: 2)
    hand.controller.start_more()
    for number in (1, 2):
        hand.report(number, BEGUN, FROM_THE_START)
    hand.executor.clock += 1
    hand.report(1, epoch(1))
    hand.controller.stop(Halt("signal", "stopped by SIGINT", 2))
    hand.controller.stop(Halt("budget", "the first cause stays"))
    assert (hand.stops, hand.controller.halt) == (1, Halt("signal", "stopped by SIGINT", 2))
    hand.controller.start_more()
    assert len(hand.started) == 2
    assert not hand.controller.over()
    hand.report(1, StoppedWithSweep())
    assert hand.controller.over()  # the speed of the other trial is not known
    hand.controller.finish()
    assert hand.ledger.states() == ["interrupted", "interrupted"]


def test_a_trial_whose_epochs_take_minutes_is_not_waited_for(tmp_path: Path) -> None:
    hand = Hand(tmp_path, ONE_AT_A_TIME)
    hand.controller.start_more()
    hand.report(1, BEGUN, FROM_THE_START)
    hand.executor.clock += 600
    hand.report(1, epoch(1))
    hand.controller.stop(Halt("signal", "stopped by SIGTERM", 15))
    assert hand.controller.over()


def test_a_limit_that_is_reached_stops_the_sweep_before_the_next_trial(tmp_path: Path) -> None:
    reached: list[Halt] = []
    hand = Hand(tmp_path, room=lambda _: 1, check=lambda: reached[0] if reached else None)
    hand.controller.start_more()
    hand.complete(1)
    reached.append(Halt("budget", "the budget is used up"))
    hand.controller.start_more()
    assert hand.controller.halt == reached[0]
    assert hand.ledger.usage().trials == 1
    assert hand.controller.over()


def test_a_full_disk_in_a_worker_stops_the_sweep_and_keeps_the_trial_pending(tmp_path: Path) -> None:
    hand = Hand(tmp_path, ONE_AT_A_TIME)
    hand.controller.start_more()
    hand.report(1, BEGUN, AttemptFailed("disk_full", "No space left on device"))
    assert hand.controller.halt is not None
    assert hand.controller.halt.cause == "disk"
    assert hand.ledger.states() == ["interrupted"]


def test_a_ledger_that_cannot_be_written_ends_the_run(tmp_path: Path) -> None:
    hand = Hand(tmp_path)
    hand.controller.start_more()
    hand.ledger.close()
    with pytest.raises((LedgerError, sqlite3.ProgrammingError), match="closed"):
        hand.report(1, BEGUN)


def test_a_machine_that_cannot_see_the_folder_is_excluded_once_others_can(tmp_path: Path) -> None:
    hand = Hand(tmp_path, room=lambda _: 2)
    hand.controller.start_more()
    hand.report(1, BEGUN)
    hand.report(2, replace(BEGUN, node="n2", shared=False))
    assert hand.executor.killed == [hand.task(2)]
    hand.report(2, epoch(1))  # sent before the worker was killed
    hand.gone(2, DEAD)
    assert not hand.ledger.failures()
    assert not hand.ledger.epochs()
    first, second = hand.ledger.attempts()
    assert (first.failure, second.failure) == (None, None)
    assert "n cannot see the sweep folder" in (second.reason or "")
    hand.controller.start_more()
    assert hand.started[-1] == (2, 2)
    assert hand.executor.started[-1][1] == ("n2",)


def test_a_trial_whose_images_cannot_be_read_moves_to_another_machine_if_possible(tmp_path: Path) -> None:
    with_room = ["n1", "n2"]
    hand = Hand(tmp_path, room=lambda without: len(set(with_room) - set(without)))
    hand.controller.start_more()
    for number in (1, 2):
        hand.report(number, replace(BEGUN, node="n1"), AttemptFailed("data", "no images"))
        hand.gone(number)
    hand.controller.start_more()
    assert [avoided for _, avoided in hand.executor.started[2:]] == [("n1",), ("n1",)]
    assert hand.started[2:] == [(1, 2), (2, 2)]


def test_a_trial_is_tried_again_on_the_same_machine_if_no_other_is_left(tmp_path: Path) -> None:
    hand = Hand(tmp_path, room=lambda without: len({"n1"} - set(without)))
    hand.controller.start_more()
    hand.report(1, replace(BEGUN, node="n1"), AttemptFailed("data", "no images"))
    hand.controller.start_more()
    assert hand.started == [(1, 1), (1, 2)]
    assert hand.executor.started[-1][1] == ()


def test_the_number_of_running_trials_follows_the_room_on_the_machines(tmp_path: Path) -> None:
    most = [0]
    hand = Hand(tmp_path, room=lambda _: most[0])
    hand.controller.start_more()
    assert hand.started == [(1, 1)]  # it waits for a machine
    most[0] = 3
    hand.controller.start_more()
    assert len(hand.started) == 1  # asked again only from time to time
    hand.executor.clock += placement.ROOM_S
    hand.controller.start_more()
    assert hand.started == [(1, 1), (2, 1), (3, 1)]


def test_a_worker_that_never_finishes_its_first_epoch_is_killed_as_lost(tmp_path: Path) -> None:
    hand = Hand(tmp_path, room=lambda _: 2)
    hand.controller.start_more()
    for number in (1, 2):
        hand.up(number)
        hand.report(number, BEGUN, FROM_THE_START)
    hand.passes(100_000)
    assert not hand.executor.killed  # nobody knows yet how long an epoch takes
    hand.gone(1, DEAD)
    hand.gone(2, DEAD)
    hand.controller.start_more()
    for number in (1, 2):
        hand.up(number)
        hand.report(number, BEGUN, FROM_THE_START)
    hand.executor.clock += 60
    hand.report(1, epoch(1))
    hand.passes(3500)
    assert hand.task(2) not in hand.executor.killed
    hand.passes(200)
    assert hand.task(2) in hand.executor.killed
    hand.gone(2, DEAD)
    assert hand.ledger.attempts()[-1].reason == "the worker hung"


def test_a_used_up_budget_waits_for_every_running_epoch(tmp_path: Path) -> None:
    spec = replace(SPEC, budget=Budget(wall_hours=1), resources=Resources(max_concurrent=1, min_free_gb=0))
    hand = Hand(tmp_path, spec)
    hand.ledger.charge({}, 3601)
    halt = halt_for_limits(spec, SweepFolder(tmp_path), hand.ledger)
    assert halt is not None
    assert (halt.cause, halt.exit_code) == ("budget", 5)
    hand.controller.start_more()
    hand.report(1, BEGUN, FROM_THE_START)
    hand.executor.clock += 600
    hand.report(1, epoch(1))
    hand.controller.stop(halt)
    hand.executor.clock += 3000
    assert not hand.controller.over()


def test_resources_that_attempts_hold_and_the_time_of_the_run_are_charged(tmp_path: Path) -> None:
    hand = Hand(tmp_path, room=lambda _: 2)
    hand.controller.start_more()
    hand.passes(1800)  # both wait
    hand.up(1)
    hand.up(2)
    hand.passes(1800)
    used = hand.ledger.usage()
    assert (used.cpu_hours, used.wall_hours, used.trials) == (1.0, 1.0, 2)


def test_a_run_ends_after_a_while_if_a_trial_fits_on_no_machine(tmp_path: Path) -> None:
    hand = Hand(tmp_path, room=lambda _: 0)
    hand.controller.start_more()
    hand.passes(50)
    with pytest.raises(ClusterError, match="no machine in the Ray cluster has 1 CPU and 0 GPU for a trial"):
        hand.passes(20)
