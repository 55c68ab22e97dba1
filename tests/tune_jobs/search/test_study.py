import math
from dataclasses import replace

from optuna.trial import TrialState

from search_spaces import run_key
from search_spaces.settings import Asha, Median, RandomSearch
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.search.samplers.base import Point
from tune_jobs.search.study import Answer, Study

RANDOM = replace(SPEC, search=RandomSearch(sampler="random", trials=9), stopping=Asha(kind="asha"))


def asked(study: Study) -> Answer:
    answer = study.ask()
    assert answer is not None
    return answer


def joined(study: Study, point: Point) -> str:
    answer = study.ask(point)
    assert answer is not None
    key = run_key(answer.config)
    study.join(key, answer)
    return key


def test_an_ask_depends_only_on_the_searchs_seed_and_its_number() -> None:
    one, other = Study(RANDOM), Study(RANDOM)
    first = [asked(one).decisions for _ in range(6)]
    other.ask(first[0])
    assert [asked(other).decisions for _ in range(5)] == first[1:]


def test_the_end_of_a_trial_reaches_every_ask_that_describes_it() -> None:
    study = Study(SPEC)
    answer = asked(study)
    study.join("a", answer)
    study.observe("a", 1, {SPEC.metric: 0.5})
    again = study.ask(answer.decisions)
    assert again is not None
    study.join("a", again)
    study.observe("a", 2, {SPEC.metric: 0.6})
    study.finish("a", "complete", infeasible=False)
    assert [(t.state, t.value, t.intermediate_values) for t in study.trials] == [
        (TrialState.COMPLETE, 0.6, {1: 0.5, 2: 0.6})
    ] * 2
    late = study.ask(answer.decisions)
    assert late is not None
    study.join("a", late)
    assert study.trials[2].value == 0.6


def test_how_a_trial_ended_decides_what_the_sampler_learns() -> None:
    study = Study(SPEC)
    for key, state in (("a", "stopped"), ("b", "diverged"), ("c", "failed")):
        study.join(key, asked(study))
        study.observe(key, 1, {SPEC.metric: 0.5})
        study.finish(key, state, infeasible=state == "failed")  # type: ignore[arg-type]
    study.refuse(asked(study))
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.PRUNED, TrialState.FAIL, TrialState.PRUNED, TrialState.PRUNED]
    assert [list(trial.constraints.values()) for trial in study.trials] == [[], [], [1.0], [1.0]]


def test_a_trial_whose_last_value_is_nan_has_no_result() -> None:
    study = Study(SPEC)
    study.join("a", asked(study))
    study.observe("a", 1, {SPEC.metric: math.nan})
    study.finish("a", "complete", infeasible=False)
    assert study.trials[0].state is TrialState.FAIL


def test_a_rule_counts_each_trial_once_and_no_infeasible_draws() -> None:
    study = Study(replace(RANDOM, stopping=Median(kind="median", startup_trials=2)))
    points = list(SPEC.space.points())
    answers = [asked(study) for _ in range(5)]
    study.join("a", answers[0])
    study.join("a", answers[1])
    study.observe("a", 1, {SPEC.metric: 0.9})
    study.finish("a", "complete", infeasible=False)
    study.join("a", answers[2])
    study.refuse(answers[3])
    study.join("b", answers[4])
    assert not study.observe("b", 1, {SPEC.metric: 0.1})  # only one trial is complete
    study.finish("b", "complete", infeasible=False)
    third = joined(study, points[0])
    assert study.observe(third, 1, {SPEC.metric: 0.05})


def test_the_rule_compares_each_epoch_with_those_of_other_trials() -> None:
    study = Study(RANDOM)
    first, second = (joined(study, point) for point in list(SPEC.space.points())[:2])
    assert not study.observe(first, 1, {SPEC.metric: 0.9})
    assert study.observe(second, 1, {SPEC.metric: 0.1})
    assert study.knows(first, 1)
    assert not study.knows(first, 2)
