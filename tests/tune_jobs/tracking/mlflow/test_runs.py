from dataclasses import replace

from tune_jobs.record.environment import Environment
from tune_jobs.record.rows import Attempt, Epoch
from tune_jobs.tracking.mlflow.runs import earlier_epochs, end_tags, opener_of, place_tags

DID = {1: [1, 2, 3], 2: [], 3: [3, 4], 4: [5], 5: [1]}
EPOCHS = [Epoch(0, "a", attempt, epoch, 0.0, {}) for attempt, own in DID.items() for epoch in own]


def test_the_run_of_an_epoch_depends_only_on_epochs() -> None:
    assert [opener_of(attempt, EPOCHS) for attempt in DID] == [1, 1, 3, 3, 5]


def test_an_attempts_run_also_gets_the_other_epochs_that_still_count() -> None:
    def beside(attempt: int, *, below: bool) -> list[tuple[int, int]]:
        own = [epoch for epoch in EPOCHS if epoch.attempt == attempt]
        return [(epoch.epoch, epoch.attempt) for epoch in earlier_epochs(own, EPOCHS, below=below)]

    assert beside(3, below=True) == [(1, 1), (2, 1)]
    assert beside(5, below=False) == [(2, 1), (3, 3), (4, 3), (5, 4)]
    assert beside(2, below=True) == []


def test_tags_of_an_earlier_attempt_are_cleared_in_a_continued_run() -> None:
    attempt = Attempt("a", 2, "complete", 0, 1, None, None, 3, None, 1, 0, 1, "node-1", None)
    assert end_tags(attempt, goes_on=False) == {"state": "complete"}
    assert end_tags(attempt, goes_on=True) == {"state": "complete", "reason": "none", "failure": "none"}
    assert place_tags(attempt) == {"host": "node-1"}
    known = replace(attempt, environment=Environment(2, "EPYC", "AVX2", {"torch": "2.15.0"}, "c0de", 2))
    assert place_tags(known) == {"host": "node-1", "threads": "2", "cpu": "EPYC", "torch": "2.15.0", "code": "c0de"}
