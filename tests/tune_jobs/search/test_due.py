"""Which trials start again, and how often: interrupted, failed, retried, or left by a dead driver."""

from dataclasses import replace
from pathlib import Path

import pytest

from search_spaces.settings import Budget
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import FOUR, due, opened, run, spec
from tune_jobs.events import Job


def test_pending_trials_come_before_new_ones(tmp_path: Path) -> None:
    sweep = spec()
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        first, second = search.next(), search.next()
        assert first is not None
        assert second is not None
        search.end(first, "interrupted")
        search.end(second, "complete")
        again = Recorded(sweep, ledger).next()
        assert again is not None
        assert (again.run_key, again.attempt) == (first.run_key, 2)


@pytest.mark.parametrize("rebuilt", [False, True])
def test_pending_trials_start_in_the_order_of_their_numbers(tmp_path: Path, rebuilt: bool) -> None:
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(spec(search=FOUR), ledger)
        jobs = [job for job in iter(search.next, None) if job is not None]
        for number in (3, 1, 4):
            assert search.fail(jobs[number - 1], "lost_node", "gone") == "again"
        search.end(jobs[1], "complete")
        again = Recorded(spec(search=FOUR), ledger) if rebuilt else search
        assert due(again) == [(1, 2, False), (3, 2, False), (4, 2, False)]


def test_a_trial_out_of_memory_runs_once_more_alone_after_all_others_and_is_then_infeasible(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        first = search.next()
        assert first is not None
        assert search.fail(first, "oom", "no memory") == "alone"
        for rebuilt in (search, Recorded(sweep, ledger)):  # as is, and from the ledger
            assert not rebuilt.idle
        search = Recorded(sweep, ledger)
        assert due(search) == [(2, 1, False), (3, 1, False), (4, 1, False), (1, 2, True)]
        again = Job(first.run_key, 2, 1, first.config, alone=True)
        assert search.fail(again, "oom", "no memory") == "final"
        for rebuilt in (search, Recorded(sweep, ledger)):
            infeasible = [trial for trial in rebuilt.study.trials if trial.constraints]
            assert [list(trial.constraints.values()) for trial in infeasible] == [[1.0]]
        assert ledger.states()[0] == "failed"


def test_three_lost_attempts_without_progress_fail_the_trial_even_over_restarts(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        for attempt, gained, follows in ((1, 1, "again"), (2, 1, "again"), (3, 2, "again"), (4, 2, "again")):
            search = Recorded(sweep, ledger)
            job = search.next()
            assert job is not None
            assert (job.number, job.attempt) == (1, attempt)
            for epoch in range(1, gained + 1):
                search.report(job, epoch, {"val/accuracy": 0.5})
            assert search.fail(job, "lost_node", "gone") == follows
        search = Recorded(sweep, ledger)
        job = search.next()
        assert job is not None
        assert search.fail(job, "lost_worker", "gone") == "again"
        assert (again := search.next()) is not None
        assert search.fail(again, "preempted", "gone") == "final"
        assert ledger.failures() == {job.run_key: "preempted"}


def test_only_the_retried_trial_starts_and_its_end_is_reported_to_the_study(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        failed, waiting = search.next(), search.next()
        assert failed is not None
        assert waiting is not None
        search.fail(failed, "user_error", "a mistake")
        search.end(waiting, "interrupted")
        ledger.reopen([failed.run_key])
        search = Recorded(sweep, ledger, frozenset([failed.run_key]))
        again = search.next()
        assert again is not None
        assert (again.run_key, again.attempt) == (failed.run_key, 2)
        assert search.idle
        for epoch in range(1, 10):
            search.report(again, epoch, {"val/accuracy": 0.5})
        search.end(again, "complete")
        assert search.done
        (told,) = [trial for trial in Recorded(sweep, ledger).study.trials if trial.state.name == "COMPLETE"]
        assert told.value == 0.5
        assert [number for number, *_ in due(Recorded(sweep, ledger))] == [2, 3, 4]  # the remaining trials still remain


def test_a_budget_of_trials_blocks_new_trials_but_not_pending_ones(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(replace(spec(search=FOUR), budget=Budget(trials=2)), ledger)
        first, second = search.next(), search.next()
        assert first is not None
        assert second is not None
        assert (search.idle, search.held_back, search.next()) == (True, True, None)
        search.fail(second, "lost_worker", "gone")
        assert due(search) == [(2, 2, False)]
        search = Recorded(spec(search=FOUR), ledger)
        assert [number for number, *_ in due(search)] == [1, 2, 3, 4]


def test_an_extended_search_continues_with_all_its_knowledge(tmp_path: Path) -> None:
    run(spec(search="{sampler: tpe, trials: 12}"), tmp_path / "ledger.db")
    with opened(tmp_path / "ledger.db") as ledger:
        before = ledger.trials()
        assert Recorded(spec(search="{sampler: tpe, trials: 12}"), ledger).done
        search = Recorded(spec(search="{sampler: tpe, trials: 15}"), ledger)
        assert len(search.study.trials) == len(ledger.asks())
        assert [number for number, *_ in due(search)] == [13, 14, 15]
        assert ledger.trials()[:12] == before


def test_a_trial_whose_last_epoch_is_recorded_is_complete_even_if_its_driver_died_there(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        job = search.next()
        assert job is not None
        for epoch in range(1, 10):
            search.report(job, epoch, {"val/accuracy": 0.5})
        ledger.interrupt_running()
        Recorded(sweep, ledger)
        assert ledger.states()[0] == "complete"
