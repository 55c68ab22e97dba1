"""Configurations with several seeds: which trials are begun, what the stopping rule and the sampler hear of them."""

import contextlib
from collections.abc import Collection, Iterator
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from optuna.trial import TrialState

from search_spaces import SpecError, SweepSpec, parse_sweep, run_key
from tests.tune_jobs.search.recorded import Recorded
from tune_jobs.events import Job
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import Trial

EPOCHS = 4


def spec(
    repeats: int = 3, sampler: str = "{sampler: tpe, trials: 6}", rule: str = "{kind: none}", **more: str
) -> SweepSpec:
    text = f"""
name: repeats
space:
  model: {{width: 0.125, layer: {{kind: hybrid, lambda: {{choice: [0.25, 0.5, 0.75, 1]}}, k: {{int: [1, 9]}}}}}}
  training: {{lr: 1e-3, epochs: {EPOCHS}, seed: 5}}
search: {sampler}
stopping: {rule}
"""
    overrides = [f"search.repeats={repeats}", *(f"{path.replace('__', '.')}={value}" for path, value in more.items())]
    return parse_sweep(text, overrides=overrides)


def value(job: Job, epoch: int = EPOCHS) -> float:
    """Depends on the configuration, and on the seed alone by a little."""
    layer = job.config.model.mixing_layer
    height: float = 0.5 + getattr(layer, "lam", 0) / 10 - abs(getattr(layer, "k", 0) - 5) / 50
    return (height + (job.config.training.seed * 7919 % 13) / 1000) * (1 - 0.5**epoch)


@pytest.fixture
def ledger(tmp_path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as opened:
        yield opened


def train(search: Recorded, job: Job, epochs: int = EPOCHS) -> None:
    for epoch in range(1, epochs + 1):
        if not search.study.knows(job.run_key, epoch) and search.report(
            job, epoch, {"val/accuracy": value(job, epoch)}
        ):
            search.end(job, "stopped")
            return
    search.end(job, "complete" if epochs == EPOCHS else "interrupted")


def to_the_end(search: Recorded) -> list[tuple[int, int]]:
    """Number and seed of each trial that is started."""
    found = []
    while (job := search.next()) is not None:
        found.append((job.number, job.config.training.seed))
        train(search, job)
    return found


def of(ledger: Ledger) -> dict[str, list[Trial]]:
    """The trials by their first one's key."""
    found: dict[str, list[Trial]] = {}
    for trial in ledger.trials():
        found.setdefault(trial.repeat_of or trial.run_key, []).append(trial)
    return found


def heard(search: Recorded) -> dict[str, tuple[TrialState, float | None]]:
    """What the sampler has of each configuration, by the key of its first trial."""
    return {
        run_key(search.spec.space.resolve(_Fixed(trial.params))): (trial.state, trial.value)
        for trial in search.study.trials
        if not trial.constraints
    }


class _Fixed:
    def __init__(self, params: dict[str, Any]) -> None:
        self._params = params

    def choose(self, path: str, domain: object) -> Any:
        del domain
        return self._params[path]


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


def test_the_sampler_hears_a_configuration_once_and_its_mean(ledger: Ledger) -> None:
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


def test_with_one_seed_all_is_as_it_was(ledger: Ledger) -> None:
    search = Recorded(spec(1), ledger)
    to_the_end(search)
    assert [trial.repeat_of for trial in ledger.trials()] == [None] * 6
    assert all(
        told == pytest.approx(max(e.metrics["val/accuracy"] for e in ledger.epochs(key)), abs=0)
        for key, (_, told) in heard(search).items()
    )


RULES = ["{kind: asha, grace_epochs: 1, reduction_factor: 2}", "{kind: median, startup_trials: 1}", "{kind: auto}"]


@pytest.mark.parametrize("rule", RULES)
def test_the_rule_decides_of_first_trials_as_if_there_were_no_others(tmp_path: Path, rule: str) -> None:
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


def test_a_stopped_first_trial_is_told_at_once_and_has_no_others(ledger: Ledger) -> None:
    search = Recorded(spec(rule="{kind: median, startup_trials: 1}"), ledger)
    train(search, _next(search))  # of the first configuration: the others are complete, too
    train(search, _next(search))
    train(search, _next(search))
    bad = _next(search)
    assert search.report(bad, 1, {"val/accuracy": 0.01})
    search.end(bad, "stopped")
    assert heard(search)[bad.run_key][0] is TrialState.PRUNED
    assert _next(search).repeat_of is None


@pytest.mark.parametrize("diverges", [False, True])
def test_the_rule_has_a_complete_first_trial_at_once_and_whatever_becomes_of_the_others(
    ledger: Ledger, diverges: bool
) -> None:
    sweep = spec(2, rule="{kind: median, startup_trials: 1}")
    search = Recorded(sweep, ledger)
    first = _next(search)
    train(search, first)
    other = _next(search)
    assert other.repeat_of == first.run_key
    if diverges:
        search.fail(other, "diverged", "why")
        assert heard(search)[first.run_key][0] is TrialState.FAIL
    else:
        assert heard(search)[first.run_key][0] is TrialState.RUNNING
    search = Recorded(sweep, ledger)
    bad = next(job for job in iter(lambda: _next(search), None) if job.repeat_of is None)
    assert search.report(bad, 1, {"val/accuracy": 0.01})


def _next(search: Recorded) -> Job:
    job = search.next()
    assert job is not None
    return job


def test_a_lost_repeat_is_tried_again_before_anything_else_and_told_once(ledger: Ledger) -> None:
    search = Recorded(spec(2), ledger)
    train(search, _next(search))
    repeat = _next(search)
    assert search.fail(repeat, "lost_worker", "gone") == "again"
    again = _next(search)
    assert (again.run_key, again.attempt, again.repeat_of) == (repeat.run_key, 2, ledger.trials()[0].run_key)
    train(search, again)
    assert [state for state, _ in heard(search).values()] == [TrialState.COMPLETE]


@pytest.mark.parametrize(
    ("failure", "state"),
    [("diverged", TrialState.FAIL), ("user_error", TrialState.COMPLETE), ("time_limit", TrialState.COMPLETE)],
)
def test_a_configuration_of_which_a_seed_diverges_has_diverged_and_another_failure_is_left_out_of_the_mean(
    ledger: Ledger, failure: Any, state: TrialState
) -> None:
    search = Recorded(spec(3), ledger)
    first = _next(search)
    train(search, first)
    assert search.fail(_next(search), failure, "why") == "final"
    assert heard(search)[first.run_key][0] is TrialState.RUNNING
    last = _next(search)
    train(search, last)
    told = (value(first) + value(last)) / 2 if state is TrialState.COMPLETE else None
    for found in (search, Recorded(spec(3), ledger)):
        assert heard(found)[first.run_key] == (state, told)


def test_a_repeat_without_the_memory_does_not_make_its_configuration_infeasible(ledger: Ledger) -> None:
    search = Recorded(spec(2), ledger)
    train(search, _next(search))
    repeat = _next(search)
    assert search.fail(repeat, "oom", "why") == "alone"
    other = _next(search)  # nothing waits for a trial that is to run alone
    assert other.repeat_of is None
    search.end(other, "interrupted")
    ledger.add_request(other.run_key, "exclude", "not of interest here")
    search = Recorded(spec(2, sampler="{sampler: tpe, trials: 2}"), ledger)
    alone = _next(search)
    assert (alone.run_key, alone.alone) == (repeat.run_key, True)
    assert search.fail(alone, "oom", "why") == "final"
    ((first, *_),) = [each for each in of(ledger).values() if len(each) == 2]
    for found in (search, Recorded(spec(2), ledger)):
        assert heard(found)[first.run_key][0] is TrialState.COMPLETE


def test_a_repeat_is_stopped_by_hand_and_excluded_and_taken_in_again(ledger: Ledger) -> None:
    search = Recorded(spec(3), ledger)
    first, second = _next(search), None
    train(search, first)
    second = _next(search)
    search.ask_to_stop(second)
    assert search.stopped_by(second, 1, {"val/accuracy": 0.1}) == "hand"
    search.end(second, "stopped", "by hand")
    third = _next(search)
    train(search, third)
    assert heard(search)[first.run_key][1] == fmean([value(first), value(third)])
    ledger.add_request(third.run_key, "exclude", "wrong images")
    assert heard(Recorded(spec(3), ledger))[first.run_key][1] == value(first)
    ledger.add_request(third.run_key, "include")
    assert heard(Recorded(spec(3), ledger))[first.run_key][1] == fmean([value(first), value(third)])
    ledger.add_request(first.run_key, "exclude", "wrong images")
    search = Recorded(spec(3), ledger)
    assert heard(search)[first.run_key] == (TrialState.FAIL, None)
    assert _next(search).repeat_of is None


def test_a_retried_repeat_is_heard_in_the_mean_after_its_end(ledger: Ledger) -> None:
    search = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger)
    first = _next(search)
    train(search, first)
    failed = _next(search)
    search.fail(failed, "user_error", "why")
    assert search.done
    ledger.reopen([failed.run_key])
    search = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger, only=[failed.run_key])
    assert heard(search)[first.run_key][0] is TrialState.RUNNING
    train(search, _next(search))
    assert heard(search)[first.run_key] == (TrialState.COMPLETE, fmean([value(first), value(failed)]))
    assert search.done


def test_a_retry_begins_no_other_seeds_and_the_next_run_does(ledger: Ledger) -> None:
    one = spec(2, "{sampler: random, trials: 1}")
    search = Recorded(one, ledger)
    first = _next(search)
    search.fail(first, "user_error", "why")
    ledger.reopen([first.run_key])
    search = Recorded(one, ledger, only=[first.run_key])
    train(search, _next(search))
    assert search.done
    assert search.next() is None
    search = Recorded(one, ledger)
    assert not search.done
    assert to_the_end(search) == [(2, 6)]


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


def test_more_seeds_later_are_begun_in_order_and_fewer_leave_the_others_out(ledger: Ledger) -> None:
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


def test_what_is_begun_of_a_seed_is_ended_though_there_are_fewer_now(ledger: Ledger) -> None:
    search = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger)
    train(search, _next(search))
    repeat = _next(search)
    train(search, repeat, epochs=2)
    fewer = Recorded(spec(1, "{sampler: random, trials: 1}"), ledger)
    assert _next(fewer).run_key == repeat.run_key
    assert [state for state, _ in heard(fewer).values()] == [TrialState.COMPLETE]


def test_a_seed_beyond_those_of_now_takes_no_other_ones_place(ledger: Ledger) -> None:
    search = Recorded(spec(3, "{sampler: random, trials: 1}"), ledger)
    first = _next(search)
    train(search, first)
    second, third = _next(search), _next(search)
    train(search, third)
    search.end(second, "interrupted")
    fewer = Recorded(spec(2, "{sampler: random, trials: 1}"), ledger)
    assert heard(fewer)[first.run_key][0] is TrialState.RUNNING
    train(fewer, _next(fewer))
    assert heard(fewer)[first.run_key] == (TrialState.COMPLETE, fmean([value(first), value(second)]))


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
    """The driver dies after every so many steps: the same trials, ends, asks and means."""
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


def test_a_seed_that_varies_and_repeats_are_refused_together() -> None:
    with pytest.raises(SpecError, match=r"search\.repeats must be 1 where space\.training\.seed varies.*got 3; give"):
        spec(3, space__training__seed="{choice: [0, 1]}")
    assert spec(1, space__training__seed="{choice: [0, 1]}").search.repeats == 1
    with pytest.raises(
        SpecError, match=r"search\.repeats must leave its last seed.*got 3 with training\.seed 2147483646"
    ):
        spec(3, space__training__seed=str(2**31 - 2))
    for wrong in ("0", "65", "1.5"):
        with pytest.raises(SpecError, match=r"search\.repeats"):
            parse_sweep(spec().text, overrides=[f"search.repeats={wrong}"])
    assert spec(64).search.repeats == 64
