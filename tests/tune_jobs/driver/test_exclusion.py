import contextlib

import pytest

from tests.tune_jobs.shipping import Recorded
from tune_jobs.driver.exclusion import exclude, include
from tune_jobs.errors import UsageError
from tune_jobs.record.lease import lease
from tune_jobs.record.ledger import Ledger
from tune_jobs.record.requests import excluded


def test_a_trial_is_excluded_with_a_one_line_reason_and_included_again(sweep: Recorded) -> None:
    sweep.attempt([1, 2], "complete")
    row = exclude(sweep.folder, "1", " wrong\n images ")
    assert (row.run_key, row.excluded, row.counts) == ("a", "wrong images", False)
    assert include(sweep.folder, "a").counts
    assert [(request.asked, request.why) for request in sweep.ledger.requests()] == [
        ("exclude", "wrong images"),
        ("include", None),
    ]


def test_the_same_reason_again_records_nothing_and_a_new_one_replaces_it(sweep: Recorded) -> None:
    sweep.attempt([1], "complete")
    for why in ("wrong images", "wrong images", "wrong labels"):
        exclude(sweep.folder, "1", why)
    assert [request.why for request in sweep.ledger.requests()] == ["wrong images", "wrong labels"]
    assert excluded(sweep.ledger.requests())["a"].why == "wrong labels"


@pytest.mark.parametrize(("why", "said"), [("  ", "--why must give a reason"), ("x" * 501, "at most 500 characters")])
def test_a_reason_must_be_one_that_can_be_shown(sweep: Recorded, why: str, said: str) -> None:
    sweep.attempt([1], "complete")
    with pytest.raises(UsageError, match=said):
        exclude(sweep.folder, "1", why)
    assert sweep.ledger.requests() == []


def test_a_missing_or_not_excluded_trial_is_an_error(sweep: Recorded) -> None:
    sweep.attempt([1], "complete")
    with pytest.raises(UsageError, match="tracked has no trial '2'; its only trial is 1"):
        exclude(sweep.folder, "2", "wrong images")
    with pytest.raises(UsageError, match="trial 1 of tracked is not excluded"):
        include(sweep.folder, "1")


def test_no_trial_of_a_running_sweep_can_be_excluded(sweep: Recorded) -> None:
    sweep.attempt([1])
    with lease(sweep.folder.path), pytest.raises(UsageError, match=r"is running in process .*convnn stop tracked"):
        exclude(sweep.folder, "1", "wrong images")
    assert sweep.ledger.states() == ["running"]


def test_a_trial_that_a_dead_driver_left_running_can_be_excluded(sweep: Recorded) -> None:
    sweep.ledger.meta.planned = 2
    sweep.attempt([1])
    sweep.attempt([1, 2], "complete", trial="b")
    row = exclude(sweep.folder, "1", "wrong images")
    assert row.state == "interrupted"
    with contextlib.closing(Ledger(sweep.folder.ledger)) as ledger:
        assert ledger.usage().trials == 2
