"""Configurations with several seeds: which trials start, and what the stopping rule and the sampler receive."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from statistics import fmean

import pytest
from optuna.trial import TrialState

from search_spaces import SpecError, parse_sweep, run_key
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.several_seeds import RULES, heard, next_job, of, spec, to_the_end, train, value
from tune_jobs.record.ledger import Ledger


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as opened:
        yield opened


@pytest.mark.parametrize("sampler", ["{sampler: tpe, trials: 6}", "{sampler: random, trials: 6}", "{sampler: grid}"])
def test_the_other_seeds_follow_the_first_before_new_configurations(ledger: Ledger, sampler: str) -> None:
    grid = "grid" in sampler
    sweep = spec(sampler=sampler, space__model__layer__k="4" if grid else "{int: [1, 9]}")
    search = Recorded(sweep, ledger)
    count = 4 if grid else 6
    assert to_the_end(search) == [(number, 5 + (number - 1) % 3) for number in range(1, 3 * count + 1)]
    assert search.done
    trials = ledger.trials()
    assert [ask.run_key for ask in ledger.asks() if ask.outcome == "new"] == list(of(ledger))
    for first, *others in of(ledger).values():
        assert [other.run_key for other in others] == [first.run_key.replace("-s5", f"-s{seed}") for seed in (6, 7)]
        assert all(run_key(trial.config) == trial.run_key for trial in (first, *others))
    assert {trial.role for trial in trials} == {"search"}


def test_the_sampler_receives_each_configuration_once_with_its_mean(ledger: Ledger) -> None:
    search = Recorded(spec(), ledger)
    values = []
    for _ in range(3):
        job = search.next()
        assert job is not None
        ((state, told),) = heard(search).values()
        assert (state, told) == (TrialState.RUNNING, None)
        train(search, job)
        values.append(value(job))
    assert heard(search) == {ledger.trials()[0].run_key: (TrialState.COMPLETE, fmean(values))}
    assert len(set(values)) == 3


def test_with_one_seed_nothing_changes(ledger: Ledger) -> None:
    search = Recorded(spec(1), ledger)
    to_the_end(search)
    assert [trial.repeat_of for trial in ledger.trials()] == [None] * 6
    assert all(
        told == pytest.approx(max(e.metrics["val/accuracy"] for e in ledger.epochs(key)), abs=0)
        for key, (_, told) in heard(search).items()
    )


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_judges_first_trials_as_if_there_were_no_others(tmp_path: Path, rule: str) -> None:
    states = []
    for repeats in (1, 3):
        with contextlib.closing(Ledger(tmp_path / f"{repeats}.db", create=True)) as ledger:
            search = Recorded(spec(repeats, "{sampler: random, trials: 24}", rule), ledger)
            to_the_end(search)
            states.append([(each[0].run_key, each[0].state) for each in of(ledger).values()])
            for first, *others in of(ledger).values():
                assert {trial.state for trial in others} <= {"complete"}
                assert len(others) == (repeats - 1 if first.state == "complete" else 0)
    assert states[0] == states[1]
    assert {state for _, state in states[0]} == {"complete", "stopped"}


def test_a_stopped_first_trial_is_reported_immediately_and_has_no_others(ledger: Ledger) -> None:
    search = Recorded(spec(rule="{kind: median, startup_trials: 1}"), ledger)
    train(search, next_job(search))  # the first configuration, with all its seeds complete
    train(search, next_job(search))
    train(search, next_job(search))
    bad = next_job(search)
    assert search.report(bad, 1, {"val/accuracy": 0.01})
    search.end(bad, "stopped")
    assert heard(search)[bad.run_key][0] is TrialState.PRUNED
    assert next_job(search).repeat_of is None


@pytest.mark.parametrize("diverges", [False, True])
def test_the_rule_uses_a_complete_first_trial_immediately_whatever_happens_to_the_others(
    ledger: Ledger, diverges: bool
) -> None:
    sweep = spec(2, rule="{kind: median, startup_trials: 1}")
    search = Recorded(sweep, ledger)
    first = next_job(search)
    train(search, first)
    other = next_job(search)
    assert other.repeat_of == first.run_key
    if diverges:
        search.fail(other, "diverged", "why")
        assert heard(search)[first.run_key][0] is TrialState.FAIL
    else:
        assert heard(search)[first.run_key][0] is TrialState.RUNNING
    search = Recorded(sweep, ledger)
    bad = next(job for job in iter(lambda: next_job(search), None) if job.repeat_of is None)
    assert search.report(bad, 1, {"val/accuracy": 0.01})


def test_the_budget_counts_trials_and_ends_between_seeds(ledger: Ledger) -> None:
    search = Recorded(spec(3, budget__trials="4"), ledger)
    assert to_the_end(search) == [(1, 5), (2, 6), (3, 7), (4, 5)]
    assert search.held_back
    assert search.idle
    assert not search.done
    search = Recorded(spec(3, budget__trials="5"), ledger)
    assert to_the_end(search) == [(5, 6)]
    assert search.held_back
    assert to_the_end(Recorded(spec(3), ledger))[0] == (6, 7)


def test_seeds_added_later_start_in_order_and_fewer_seeds_leave_the_others_out(ledger: Ledger) -> None:
    to_the_end(Recorded(spec(1, "{sampler: random, trials: 2}"), ledger))
    firsts = [trial.run_key for trial in ledger.trials()]
    more = Recorded(spec(3, "{sampler: random, trials: 3}"), ledger)
    assert [state for state, _ in heard(more).values()] == [TrialState.RUNNING] * 2
    assert to_the_end(more) == [(3, 6), (4, 7), (5, 6), (6, 7), (7, 5), (8, 6), (9, 7)]
    assert list(of(ledger))[:2] == firsts
    for repeats in (1, 2, 3):
        found = heard(Recorded(spec(repeats, "{sampler: random, trials: 3}"), ledger))
        for key, trials in of(ledger).items():
            values = [ledger.epochs(trial.run_key)[-1].metrics["val/accuracy"] for trial in trials]
            assert found[key] == (TrialState.COMPLETE, fmean(values[:repeats]))


def test_a_started_seed_finishes_even_if_fewer_seeds_are_asked_for_now(ledger: Ledger) -> None:
    search = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger)
    train(search, next_job(search))
    repeat = next_job(search)
    train(search, repeat, epochs=2)
    fewer = Recorded(spec(1, "{sampler: random, trials: 1}"), ledger)
    assert next_job(fewer).run_key == repeat.run_key
    assert [state for state, _ in heard(fewer).values()] == [TrialState.COMPLETE]


def test_a_seed_beyond_the_present_number_does_not_replace_another(ledger: Ledger) -> None:
    search = Recorded(spec(3, "{sampler: random, trials: 1}"), ledger)
    first = next_job(search)
    train(search, first)
    second, third = next_job(search), next_job(search)
    train(search, third)
    search.end(second, "interrupted")
    fewer = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger)
    assert heard(fewer)[first.run_key][0] is TrialState.RUNNING
    train(fewer, next_job(fewer))
    assert heard(fewer)[first.run_key] == (TrialState.COMPLETE, fmean([value(first), value(second)]))


def test_a_seed_that_varies_and_repeats_are_refused_together() -> None:
    with pytest.raises(SpecError, match=r"search\.repeats must be 1 if space\.training\.seed varies.*got 3; give"):
        spec(3, space__training__seed="{choice: [0, 1]}")
    assert spec(1, space__training__seed="{choice: [0, 1]}").search.repeats == 1
    with pytest.raises(
        SpecError, match=r"search\.repeats must keep the last seed.*got 3 with training\.seed 2147483646"
    ):
        spec(3, space__training__seed=str(2**31 - 2))
    for wrong in ("0", "65", "1.5"):
        with pytest.raises(SpecError, match=r"search\.repeats"):
            parse_sweep(spec().text, overrides=[f"search.repeats={wrong}"])
    assert spec(64).search.repeats == 64
