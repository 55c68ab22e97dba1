"""A search that has found enough starts no new trials; this is judged from the ended trials alone."""

from search_spaces import SweepSpec, parse_sweep
from tune_jobs.events import Ended, EpochEnded, Job, StopAsked
from tune_jobs.record.rows import State
from tune_jobs.search.queue import Search


def spec(sampler: str = "random", trials: int = 24, enough: str = "{within: 5, confidence: 0.6}") -> SweepSpec:
    return parse_sweep(f"""
name: test
space:
  model: {{width: 0.125, layer: {{kind: conv2d}}}}
  training: {{lr: {{log_uniform: [1.0e-4, 1.0e-2]}}, epochs: 2}}
search: {{sampler: {sampler}, trials: {trials}}}
stopping: {{enough: {enough}}}
""")


def begin(search: Search) -> Job | None:
    start = search.propose().start
    return None if start is None else Job(start.run_key, 1, start.number, start.config, start.alone)


def end(search: Search, job: Job, value: float = 0.9, state: State = "complete") -> None:
    search.tell(EpochEnded(job, 1, {"val/accuracy": value / 2}))
    if state == "complete":
        search.tell(EpochEnded(job, 2, {"val/accuracy": value}))
    search.tell(Ended(job, state))


def until_enough(search: Search, value: float = 0.9) -> int:
    """Return the number of trials it takes if all have the same value."""
    count = 0
    while search.enough is None and (job := begin(search)) is not None:
        end(search, job, value)
        count += 1
    return count


def test_running_trials_end_and_no_other_starts() -> None:
    search = Search(spec())
    running = begin(search)
    assert running is not None
    count = until_enough(search)
    assert 8 <= count < 23
    assert begin(search) is None
    assert search.idle
    assert search.enough is not None
    assert (search.enough.left, search.enough.complete, search.enough.near) == (24 - count, count, count)
    search.tell(Ended(running, "interrupted"))  # lost: started trials become pending again
    assert not search.idle
    assert begin(search) == running


def test_a_running_trial_that_ends_far_above_lets_the_search_continue() -> None:
    search = Search(spec())
    running = begin(search)
    assert running is not None
    until_enough(search, 0.7)
    end(search, running, 0.9)
    assert search.enough is None
    assert begin(search) is not None


def test_a_sampler_that_learns_needs_more_trials() -> None:
    assert until_enough(Search(spec("tpe", 60))) > until_enough(Search(spec("random", 60)))


def test_trials_that_a_user_stopped_do_not_count() -> None:
    by_rule, by_hand = Search(spec(trials=60)), Search(spec(trials=60))
    for search in (by_rule, by_hand):
        for _ in range(10):
            job = begin(search)
            assert job is not None
            if search is by_hand:
                search.tell(StopAsked(job))
            end(search, job, state="stopped")
    assert until_enough(by_rule) < until_enough(by_hand)


def test_enough_is_not_the_reason_without_the_setting_or_after_the_last_trial() -> None:
    assert until_enough(Search(spec(enough="null"))) == 24
    short = Search(spec(trials=8))
    assert until_enough(short) == 8
    assert short.done
    assert short.enough is None
