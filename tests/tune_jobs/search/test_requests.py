"""Requests of users about single trials while a search runs: stop, exclude, include."""

from pathlib import Path

import pytest

from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import FOUR, THIRTY, due, job_of, opened, spec, train

GOOD, BAD = {"val/accuracy": 0.9}, {"val/accuracy": 0.1}


def test_a_trial_that_is_asked_to_stop_ends_with_its_next_epoch_and_is_reported_as_pruned(
    tmp_path: Path,
) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        first, second = job_of(search), job_of(search)
        assert search.stopped_by(first, 1, GOOD) is None
        search.ask_to_stop(first)
        assert search.stopped_by(second, 1, GOOD) is None
        assert search.stopped_by(first, 2, GOOD) == "hand"
        search.end(first, "stopped", "by hand")
        for rebuilt in (search, Recorded(sweep, ledger)):
            told = rebuilt.study.trials[0]
            assert (told.state.name, told.intermediate_values) == ("PRUNED", {1: 0.9, 2: 0.9})


def test_the_stopping_rule_comes_before_a_request_and_the_last_epoch_before_both(tmp_path: Path) -> None:
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(spec(search=FOUR), ledger)
        first, second = job_of(search), job_of(search)
        search.report(first, 1, GOOD)
        for job in (first, second):
            search.ask_to_stop(job)
        assert search.stopped_by(second, 1, BAD) == "rule"
        assert search.stopped_by(first, 9, GOOD) is None


def test_a_request_survives_a_lost_worker_and_a_dead_driver_until_a_new_epoch(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        job = job_of(search)
        search.report(job, 1, GOOD)
        search.ask_to_stop(job)
        assert search.fail(job, "lost_worker", "gone") == "again"
        again = job_of(search)
        assert search.stopped_by(again, 1, GOOD) is None  # a repeated epoch
        ledger.interrupt_running()
        search = Recorded(sweep, ledger)
        third = job_of(search)
        assert (third.run_key, third.attempt) == (job.run_key, 3)
        assert search.stopped_by(third, 2, GOOD) == "hand"  # the driver dies before it can end the trial
        ledger.interrupt_running()
        Recorded(sweep, ledger)
        trial = ledger.trials()[0]
        assert (trial.state, trial.reason) == ("stopped", "by hand")


def test_a_retried_trial_is_no_longer_asked_to_stop(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        job = job_of(search)
        search.ask_to_stop(job)
        assert search.stopped_by(job, 1, GOOD) == "hand"
        search.end(job, "stopped", "by hand")
        ledger.reopen([job.run_key])
        search = Recorded(sweep, ledger, frozenset([job.run_key]))
        again = job_of(search)
        assert again.run_key == job.run_key
        assert [search.stopped_by(again, epoch, GOOD) for epoch in (1, 2, 3)] == [None] * 3


def test_the_study_knows_the_configuration_of_an_excluded_trial_but_no_value(tmp_path: Path) -> None:
    sweep = spec(THIRTY, "{sampler: tpe, trials: 99}", lr="1e-3")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        for _ in range(12):
            train(search, job_of(search))
        key = ledger.trials()[0].run_key
        whole = [(t.state.name, t.intermediate_values) for t in search.study.trials]
        ledger.add_request(key, "exclude", "wrong images")
        search = Recorded(sweep, ledger)
        told = search.study.trials
        assert (told[0].state.name, told[0].intermediate_values, told[0].values) == ("FAIL", {}, None)
        assert [(t.state.name, t.intermediate_values) for t in told[1:]] == whole[1:]
        while (job := search.next()) is not None:
            assert job.run_key != key
            train(search, job)
        assert search.exhausted
        assert len(ledger.trials()) == 30
        ledger.add_request(key, "include")
        again = Recorded(sweep, ledger).study.trials
        assert [(t.state.name, t.intermediate_values) for t in again[: len(whole)]] == whole


def test_an_unfinished_excluded_trial_is_not_pending_until_it_is_included_again(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        jobs = [job_of(search) for _ in range(4)]
        for job in jobs:
            search.end(job, "interrupted")
        ledger.add_request(jobs[1].run_key, "exclude", "wrong images")
        assert [number for number, *_ in due(Recorded(sweep, ledger))] == [1, 3, 4]
        ledger.interrupt_running()
        ledger.add_request(jobs[1].run_key, "include")
        assert [number for number, *_ in due(Recorded(sweep, ledger))] == [1, 2, 3, 4]


@pytest.mark.parametrize("went_on", [True, False])
def test_without_an_excluded_trial_the_rule_decides_again_but_stops_none_that_continued(
    tmp_path: Path, *, went_on: bool
) -> None:
    sweep = spec(search="{sampler: random, trials: 8}")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        best, *worse = [job_of(search) for _ in range(5)]
        assert not search.report(best, 1, GOOD)
        for job in worse:
            assert search.report(job, 1, BAD)
            search.end(job, "stopped")
        late = job_of(search)
        assert not search.report(
            late, 1, {"val/accuracy": 0.5}
        )  # second of six: continues; with five only the first does
        if went_on:
            assert not search.report(late, 2, {"val/accuracy": 0.5})
        for job in (best, late):
            search.end(job, "interrupted")
        ledger.add_request(worse[0].run_key, "exclude", "wrong images")
        Recorded(sweep, ledger)
        assert ledger.states()[5] == ("interrupted" if went_on else "stopped")
