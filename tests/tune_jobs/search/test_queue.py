"""The search without Ray: trials are simulated by a formula, so that hundreds of asks take a moment."""

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from search_spaces import Decided, SweepSpec, canonical, parse_sweep, run_key
from search_spaces.models.vgg import HybridLayer
from search_spaces.settings import Budget
from tests.tune_jobs.search.recorded import Recorded
from tune_jobs.driver.limits import none_found
from tune_jobs.events import Job
from tune_jobs.record.ledger import Ledger

MIXED = """
    layer:
      any_of:
        - {kind: conv2d, kernel_size: 3}
        - kind: hybrid
          lambda: {choice: [0, 0.25, 0.5, 1]}
          k: {int: [1, 20]}
          candidates: {kind: random, r: {int: [8, 64], log: true}, when_too_few: all}
"""
THIRTY = """
    layer:
      kind: hybrid
      lambda: {choice: [0.25, 0.5, 0.75]}
      k: {choice: [2, 3, 4, 5, 6]}
      similarity: {choice: [cosine, euclidean]}
"""


def spec(
    layer: str = MIXED, search: str = "{sampler: tpe, trials: 20}", lr: str = "{log_uniform: [1e-4, 1e-2]}"
) -> SweepSpec:
    return parse_sweep(f"""
name: test
space:
  model:
    width: 0.125
{layer}
  training: {{lr: {lr}, epochs: 9}}
search: {search}
stopping: {{kind: asha, grace_epochs: 1, reduction_factor: 3}}
""")


@contextlib.contextmanager
def opened(path: Path) -> Iterator[Ledger]:
    with contextlib.closing(Ledger(path, create=True)) as ledger:
        yield ledger


def accuracy(job: Job, epoch: int) -> float:
    """A result that depends on the configuration and grows with the epochs."""
    k: int = getattr(job.config.model.mixing_layer, "k", 0)
    return 1 - 1 / (1 + epoch) - abs(job.config.training.lr - 1e-3) * 50 - abs(k - 6) / 100


def train(search: Recorded, job: Job, epochs: int = 9) -> None:
    """Let a job run to its end, as the stopping rule allows; an interrupted one stays due."""
    for epoch in range(1, epochs + 1):
        if search.report(job, epoch, {"val/accuracy": accuracy(job, epoch)}):
            search.end(job, "stopped")
            return
    search.end(job, "complete" if epochs == job.config.training.epochs else "interrupted")


def run(sweep: SweepSpec, path: Path, *, interrupt: bool = False) -> list[tuple[Any, ...]]:
    """All trials of a sweep, one at a time; with `interrupt`, each is cut off once and the search rebuilt each time."""
    with opened(path) as ledger:
        search = Recorded(sweep, ledger)
        while (job := search.next()) is not None:
            if interrupt and job.attempt == 1:
                train(search, job, epochs=2)
            else:
                train(search, job)
            if interrupt:
                search = Recorded(sweep, ledger)
        return [(trial.number, trial.run_key, trial.state) for trial in ledger.trials()]


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_the_same_file_gives_the_same_trials(tmp_path: Path, sampler: str) -> None:
    sweep = spec(search=f"{{sampler: {sampler}, trials: 15, seed: 3}}")
    first, second = run(sweep, tmp_path / "a.db"), run(sweep, tmp_path / "b.db")
    assert first == second
    assert len(first) == 15
    assert run(spec(search=f"{{sampler: {sampler}, trials: 15, seed: 4}}"), tmp_path / "c.db") != first


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_rebuilt_from_its_ledger_goes_on_as_if_never_interrupted(tmp_path: Path, sampler: str) -> None:
    sweep = spec(search=f"{{sampler: {sampler}, trials: 15}}")
    whole = run(sweep, tmp_path / "whole.db")
    assert run(sweep, tmp_path / "cut.db", interrupt=True) == whole
    assert {state for _, _, state in whole} == {"complete", "stopped"}


def test_a_trial_cut_off_at_a_rung_is_still_stopped_there(tmp_path: Path) -> None:
    sweep = spec()
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        good, bad = search.next(), search.next()
        assert good is not None
        assert bad is not None
        search.report(good, 1, {"val/accuracy": 0.9})
        assert search.report(bad, 1, {"val/accuracy": 0.1})  # the driver dies before it can stop the trial
        ledger.interrupt_running()
        Recorded(sweep, ledger)
        assert [trial.state for trial in ledger.trials()] == ["interrupted", "stopped"]


def test_no_configuration_is_tried_twice_and_none_that_cannot_run(tmp_path: Path) -> None:
    sweep = spec(search="{sampler: random, trials: 60}", lr="1e-3")
    trials = run(sweep, tmp_path / "ledger.db")
    assert len({key for _, key, _ in trials}) == len(trials) == 60
    with opened(tmp_path / "ledger.db") as ledger:
        outcomes = [ask.outcome for ask in ledger.asks()]
        assert outcomes.count("new") == 60
        assert outcomes.count("duplicate") > 0  # conv2d again, or another way to say it
        assert outcomes.count("infeasible") > 0  # k beyond r, or beyond the smallest map
        for trial in ledger.trials():
            assert run_key(trial.config) == trial.run_key


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_finite_space_ends_when_every_point_was_tried(tmp_path: Path, sampler: str) -> None:
    sweep = spec(THIRTY, f"{{sampler: {sampler}, trials: 100}}", lr="1e-3")
    assert sweep.space.size() == 30
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        keys = []
        while (job := search.next()) is not None:
            keys.append(job.run_key)
            train(search, job)
        assert search.exhausted
        assert len(set(keys)) == len(keys) == 30
        assert Recorded(sweep, ledger).done


def test_a_grid_goes_through_the_file_with_the_last_domain_turning_fastest(tmp_path: Path) -> None:
    sweep = spec(THIRTY, "{sampler: grid}", lr="1e-3")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        seen = []
        while (job := search.next()) is not None:
            layer = job.config.model.mixing_layer
            assert isinstance(layer, HybridLayer)
            seen.append((layer.lam, layer.k, layer.similarity))
            search.end(job, "complete")
        expected = [(a, b, c) for a in (0.25, 0.5, 0.75) for b in range(2, 7) for c in ("cosine", "euclidean")]
        assert seen == expected


def test_due_trials_come_before_new_ones(tmp_path: Path) -> None:
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
def test_trials_are_due_in_the_order_of_their_numbers_whichever_came_back_first(tmp_path: Path, rebuilt: bool) -> None:
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(spec(search=FOUR), ledger)
        jobs = [job for job in iter(search.next, None) if job is not None]
        for number in (3, 1, 4):
            assert search.fail(jobs[number - 1], "lost_node", "gone") == "again"
        search.end(jobs[1], "complete")
        again = Recorded(spec(search=FOUR), ledger) if rebuilt else search
        assert due(again) == [(1, 2, False), (3, 2, False), (4, 2, False)]


def test_epochs_done_twice_are_counted_once(tmp_path: Path) -> None:
    sweep = spec()
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        job = search.next()
        assert job is not None
        search.report(job, 1, {"val/accuracy": 0.9})
        search.end(job, "interrupted")
        search = Recorded(sweep, ledger)
        again = search.next()
        assert again is not None
        search.report(again, 1, {"val/accuracy": 0.2})  # another number than the one the rung has seen
        other = search.next()
        assert other is not None
        assert search.report(other, 1, {"val/accuracy": 0.5})  # below 0.9: stopped


def test_tpe_learns(tmp_path: Path) -> None:
    sweep = spec(search="{sampler: tpe, trials: 40}")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        distances = []
        while (job := search.next()) is not None:
            distances.append(abs(job.config.training.lr - 1e-3))
            train(search, job)
        assert sorted(distances[-15:])[7] < sorted(distances[:15])[7] / 2


def due(search: Recorded) -> list[tuple[int, int, bool]]:
    """All jobs that can be started now, as number, attempt, alone."""
    return [(job.number, job.attempt, job.alone) for job in iter(search.next, None)]


FOUR = "{sampler: random, trials: 4}"


def test_a_trial_out_of_memory_is_tried_once_more_alone_after_all_others_and_then_infeasible(tmp_path: Path) -> None:
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


def test_lost_attempts_that_get_no_further_fail_the_trial_at_the_third_also_over_restarts(tmp_path: Path) -> None:
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


def test_a_retried_trial_alone_is_started_and_its_end_is_told_to_the_study(tmp_path: Path) -> None:
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
        assert [number for number, *_ in due(Recorded(sweep, ledger))] == [2, 3, 4]  # what was left is still left


def test_a_budget_of_trials_holds_the_next_one_back_but_not_what_is_due(tmp_path: Path) -> None:
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


def test_an_extended_search_goes_on_with_all_it_knows(tmp_path: Path) -> None:
    run(spec(search="{sampler: tpe, trials: 12}"), tmp_path / "ledger.db")
    with opened(tmp_path / "ledger.db") as ledger:
        before = ledger.trials()
        assert Recorded(spec(search="{sampler: tpe, trials: 12}"), ledger).done
        search = Recorded(spec(search="{sampler: tpe, trials: 15}"), ledger)
        assert len(search.study.trials) == len(ledger.asks())
        assert [number for number, *_ in due(search)] == [13, 14, 15]
        assert ledger.trials()[:12] == before


def test_a_trial_whose_last_epoch_is_recorded_is_complete_though_its_driver_died_there(tmp_path: Path) -> None:
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


def test_a_search_that_was_cut_off_while_it_looked_goes_on_looking_the_same_way(tmp_path: Path) -> None:
    sweep = spec(THIRTY, "{sampler: random, trials: 30}", lr="1e-3")
    with opened(tmp_path / "alone.db") as alone, opened(tmp_path / "cut.db") as cut:
        whole = Recorded(sweep, alone)
        while whole.next() is not None:
            pass
        expected = alone.asks()
        last = max(ask.number for ask in expected if ask.outcome == "new")
        for ask in expected[: last - 50]:  # killed in the middle of misses, a uniform draw being due next
            if ask.outcome == "new":
                config = sweep.space.resolve(Decided(ask.decisions))
                cut.add_trial(ask.decisions, canonical(config), run_key(config))
            else:
                cut.add_ask(ask.decisions, ask.outcome, ask.run_key)
        rest = Recorded(sweep, cut)
        while rest.next() is not None:
            pass
        assert [(a.decisions, a.outcome) for a in cut.asks()] == [(a.decisions, a.outcome) for a in expected]


def test_a_space_without_end_is_not_said_to_be_used_up(tmp_path: Path) -> None:
    narrow = parse_sweep("""
name: narrow
space:
  model: {layer: {kind: conv2d}}
  training: {lr: {log_uniform: [1e-4, 1e-2]}}
constraints: [lr >= 0.009999999999]
search: {sampler: random, trials: 2}
""")
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(narrow, ledger)
        assert search.next() is None
        assert search.gave_up
        assert not search.exhausted
        assert not ledger.meta.exhausted
    assert "none is valid and new" in none_found(narrow).message


def job_of(search: Recorded) -> Job:
    job = search.next()
    assert job is not None
    return job


GOOD, BAD = {"val/accuracy": 0.9}, {"val/accuracy": 0.1}


def test_a_trial_that_is_asked_to_stop_ends_with_its_next_epoch_and_is_told_as_one_that_was_given_up(
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


def test_a_request_outlives_a_lost_worker_and_a_dead_driver_until_an_epoch_that_is_new(tmp_path: Path) -> None:
    sweep = spec(search=FOUR)
    with opened(tmp_path / "ledger.db") as ledger:
        search = Recorded(sweep, ledger)
        job = job_of(search)
        search.report(job, 1, GOOD)
        search.ask_to_stop(job)
        assert search.fail(job, "lost_worker", "gone") == "again"
        again = job_of(search)
        assert search.stopped_by(again, 1, GOOD) is None  # done again
        ledger.interrupt_running()
        search = Recorded(sweep, ledger)
        third = job_of(search)
        assert (third.run_key, third.attempt) == (job.run_key, 3)
        assert search.stopped_by(third, 2, GOOD) == "hand"  # the driver dies before it can end the trial
        ledger.interrupt_running()
        Recorded(sweep, ledger)
        trial = ledger.trials()[0]
        assert (trial.state, trial.reason) == ("stopped", "by hand")


def test_a_trial_that_is_run_again_by_hand_is_no_longer_asked_to_stop(tmp_path: Path) -> None:
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


def test_of_an_excluded_trial_the_study_knows_the_configuration_and_no_value(tmp_path: Path) -> None:
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


def test_an_excluded_trial_that_has_not_ended_is_not_due_until_that_is_undone(tmp_path: Path) -> None:
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
def test_without_an_excluded_trial_the_rule_decides_anew_but_stops_none_that_went_on(
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
        assert not search.report(late, 1, {"val/accuracy": 0.5})  # the second of six goes on; of five only the first
        if went_on:
            assert not search.report(late, 2, {"val/accuracy": 0.5})
        for job in (best, late):
            search.end(job, "interrupted")
        ledger.add_request(worse[0].run_key, "exclude", "wrong images")
        Recorded(sweep, ledger)
        assert ledger.states()[5] == ("interrupted" if went_on else "stopped")
