"""Seeds of a configuration that are lost, fail, or are stopped or excluded by a user, and dying drivers."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from search_spaces import SweepSpec
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.several_seeds import EPOCHS, RULES, heard, next_job, of, spec, to_the_end, train, value
from tune_jobs.events import Job
from tune_jobs.record.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as opened:
        yield opened


def test_a_lost_repeat_is_tried_again_first_and_reported_once(ledger: Ledger) -> None:
    search = Recorded(spec(2), ledger)
    train(search, next_job(search))
    repeat = next_job(search)
    assert search.fail(repeat, "lost_worker", "gone") == "again"
    again = next_job(search)
    assert (again.run_key, again.attempt, again.repeat_of) == (repeat.run_key, 2, ledger.trials()[0].run_key)
    train(search, again)
    assert [state for state, _ in heard(search).values()] == [TrialState.COMPLETE]


@pytest.mark.parametrize(
    ("failure", "state"),
    [("diverged", TrialState.FAIL), ("user_error", TrialState.COMPLETE), ("time_limit", TrialState.COMPLETE)],
)
def test_a_diverged_seed_makes_its_configuration_diverged_but_other_failures_are_left_out_of_the_mean(
    ledger: Ledger, failure: Any, state: TrialState
) -> None:
    search = Recorded(spec(3), ledger)
    first = next_job(search)
    train(search, first)
    assert search.fail(next_job(search), failure, "why") == "final"
    assert heard(search)[first.run_key][0] is TrialState.RUNNING
    last = next_job(search)
    train(search, last)
    told = (value(first) + value(last)) / 2 if state is TrialState.COMPLETE else None
    for found in (search, Recorded(spec(3), ledger)):
        assert heard(found)[first.run_key] == (state, told)


def test_a_repeat_out_of_memory_does_not_make_its_configuration_infeasible(ledger: Ledger) -> None:
    search = Recorded(spec(2), ledger)
    train(search, next_job(search))
    repeat = next_job(search)
    assert search.fail(repeat, "oom", "why") == "alone"
    other = next_job(search)  # no trial waits for one that must run alone
    assert other.repeat_of is None
    search.end(other, "interrupted")
    ledger.add_request(other.run_key, "exclude", "not of interest here")
    search = Recorded(spec(2, sampler="{sampler: tpe, trials: 2}"), ledger)
    alone = next_job(search)
    assert (alone.run_key, alone.alone) == (repeat.run_key, True)
    assert search.fail(alone, "oom", "why") == "final"
    ((first, *_),) = [each for each in of(ledger).values() if len(each) == 2]
    for found in (search, Recorded(spec(2), ledger)):
        assert heard(found)[first.run_key][0] is TrialState.COMPLETE


def test_a_repeat_can_be_stopped_excluded_and_included_again(ledger: Ledger) -> None:
    search = Recorded(spec(3), ledger)
    first, second = next_job(search), None
    train(search, first)
    second = next_job(search)
    search.ask_to_stop(second)
    assert search.stopped_by(second, 1, {"val/accuracy": 0.1}) == "hand"
    search.end(second, "stopped", "by hand")
    third = next_job(search)
    train(search, third)
    assert heard(search)[first.run_key][1] == fmean([value(first), value(third)])
    ledger.add_request(third.run_key, "exclude", "wrong images")
    assert heard(Recorded(spec(3), ledger))[first.run_key][1] == value(first)
    ledger.add_request(third.run_key, "include")
    assert heard(Recorded(spec(3), ledger))[first.run_key][1] == fmean([value(first), value(third)])
    ledger.add_request(first.run_key, "exclude", "wrong images")
    search = Recorded(spec(3), ledger)
    assert heard(search)[first.run_key] == (TrialState.FAIL, None)
    assert next_job(search).repeat_of is None


def test_a_retried_repeat_counts_in_the_mean_after_its_end(ledger: Ledger) -> None:
    search = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger)
    first = next_job(search)
    train(search, first)
    failed = next_job(search)
    search.fail(failed, "user_error", "why")
    assert search.done
    ledger.reopen([failed.run_key])
    search = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger, only=[failed.run_key])
    assert heard(search)[first.run_key][0] is TrialState.RUNNING
    train(search, next_job(search))
    assert heard(search)[first.run_key] == (TrialState.COMPLETE, fmean([value(first), value(failed)]))
    assert search.done


def test_a_retry_starts_no_other_seeds_but_the_next_run_does(ledger: Ledger) -> None:
    one = spec(2, "{sampler: random, trials: 1}")
    search = Recorded(one, ledger)
    first = next_job(search)
    search.fail(first, "user_error", "why")
    ledger.reopen([first.run_key])
    search = Recorded(one, ledger, only=[first.run_key])
    train(search, next_job(search))
    assert search.done
    assert search.next() is None
    search = Recorded(one, ledger)
    assert not search.done
    assert to_the_end(search) == [(2, 6)]


FATES = ["complete", "diverged", "user_error", "lost_worker", "oom"]


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    fates=st.lists(st.sampled_from(FATES), min_size=5, max_size=5),
    every=st.integers(2, 6),
    start=st.integers(0, 5),
    rule=st.sampled_from(["{kind: none}", RULES[0], RULES[1]]),
)
def test_a_search_rebuilt_at_any_moment_decides_as_if_never_interrupted(
    tmp_path_factory: pytest.TempPathFactory, fates: list[str], every: int, start: int, rule: str
) -> None:
    """The driver dies every few steps; trials, ends, asks and means must not change."""
    sweep = spec(3, "{sampler: tpe, trials: 5}", rule)
    ends = []
    for killed in (range(0), range(start + 2, 10_000, every)):
        path = tmp_path_factory.mktemp("killed") / "ledger.db"
        with contextlib.closing(Ledger(path, create=True)) as ledger:
            search = _played(sweep, ledger, fates, killed)
            trials = [(t.number, t.run_key, t.repeat_of, t.state) for t in ledger.trials()]
            asks = [(ask.decisions, ask.outcome, ask.run_key) for ask in ledger.asks()]
            ends.append((trials, asks, heard(search), heard(Recorded(sweep, ledger))))
            assert search.done
            assert len({run for _, run, _, _ in trials}) == len(trials)
    assert ends[0] == ends[1]
    assert ends[0][2] == ends[0][3]
    assert all(state != TrialState.RUNNING for state, _ in ends[0][2].values())


def _played(sweep: SweepSpec, ledger: Ledger, fates: list[str], killed: Collection[int]) -> Recorded:
    search, step = Recorded(sweep, ledger), 0

    def dies() -> bool:
        nonlocal step, search
        step += 1
        if step in killed:
            ledger.interrupt_running()
            search = Recorded(sweep, ledger)
        return step in killed

    while (job := search.next()) is not None:
        fate = fates[(job.number + job.config.training.seed) % len(fates)]
        if dies():
            continue
        _live(search, ledger, job, fate, dies)
        dies()
    return search


def _live(search: Recorded, ledger: Ledger, job: Job, fate: str, dies: Any) -> None:
    for epoch in range(1, EPOCHS + 1):
        if epoch == 2 and fate != "complete" and not (fate in ("lost_worker", "oom") and _failed(ledger, job, fate)):
            search.fail(job, fate, "scripted")  # type: ignore[arg-type]
            return
        if search.study.knows(job.run_key, epoch):
            continue
        stopped = search.report(job, epoch, {"val/accuracy": value(job, epoch)})
        if dies():
            return
        if stopped:
            search.end(job, "stopped")
            return
    search.end(job, "complete")


def _failed(ledger: Ledger, job: Job, fate: str) -> bool:
    return any(a.run_key == job.run_key and a.failure == fate for a in ledger.attempts())
