import contextlib
from pathlib import Path

from search_spaces import Decided
from tests.tune_jobs.driver.by_hand import SPEC
from tests.tune_jobs.search.recorded import Recorded
from tune_jobs.driver.past import past_of, record_proposal, settle
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.rows import BY_HAND, BY_THE_RULE
from tune_jobs.search.base import Asked, Proposal, Settled
from tune_jobs.search.queue import Search


def test_the_past_is_everything_in_the_ledger_about_the_search(tmp_path: Path) -> None:
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as ledger:
        assert past_of(ledger).trials == []
        search = Recorded(SPEC, ledger)
        job = search.next()
        assert job is not None
        search.report(job, 1, {"val/accuracy": 0.5})
        search.fail(job, "oom", "no memory")
        other = search.next()
        assert other is not None
        again = search.next()
        while again is not None and again.run_key != job.run_key:
            again = search.next()
        assert again is not None
        search.fail(again, "oom", "no memory")
        past = past_of(ledger)
        assert len(past.asks) == len(past.trials) == 4
        assert [epoch.epoch for epoch in past.epochs] == [1]
        assert len(past.attempts) == 5
        assert past.out_of_memory == [job.run_key]
        assert past.exhausted


def test_asks_are_recorded_in_order_and_so_is_the_end_of_the_space(tmp_path: Path) -> None:
    config = SPEC.space.resolve(Decided(next(SPEC.space.points())))
    asked = [
        Asked({"x": 1}, "infeasible", None),
        Asked({"x": 2}, "new", "a", config),
        Asked({"x": 3}, "duplicate", "a"),
    ]
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as ledger:
        search = Search(SPEC)
        record_proposal(ledger, search, Proposal(asked))
        assert [(ask.decisions["x"], ask.outcome, ask.run_key) for ask in ledger.asks()] == [
            (1, "infeasible", None),
            (2, "new", "a"),
            (3, "duplicate", "a"),
        ]
        assert [trial.run_key for trial in ledger.trials()] == ["a"]
        assert not ledger.meta.exhausted
        search.exhausted = True
        record_proposal(ledger, search, Proposal())
        assert ledger.meta.exhausted


def test_ends_that_a_dead_driver_did_not_record_are_recorded(tmp_path: Path) -> None:
    config = SPEC.space.resolve(Decided(next(SPEC.space.points())))
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as ledger:
        for key in "abc":
            ledger.add_trial({}, config, key)
            ledger.start_attempt(key)
        settle(ledger, [Settled("a", 1, "rule"), Settled("b", 1, None), Settled("c", 1, "hand")])
        assert [(a.state, a.reason) for a in ledger.attempts()] == [
            ("stopped", BY_THE_RULE),
            ("complete", None),
            ("stopped", BY_HAND),
        ]
        assert ledger.states() == ["stopped", "complete", "stopped"]


def test_the_search_receives_the_user_requests_that_still_hold(tmp_path: Path) -> None:
    config = SPEC.space.resolve(Decided(next(SPEC.space.points())))
    with contextlib.closing(Ledger(tmp_path / "ledger.db", create=True)) as ledger:
        for key in "abc":
            ledger.add_trial({}, config, key)
        for key, asked in (("a", "stop"), ("b", "exclude"), ("c", "exclude"), ("c", "include")):
            ledger.add_request(key, asked, "why")  # type: ignore[arg-type]
        past = past_of(ledger)
        assert (list(past.to_stop), set(past.excluded)) == (["a"], {"b"})
