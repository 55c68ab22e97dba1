import pytest

from tune_jobs.failures import LOST, LOST_AT_MOST, Failure, alone, state_after, what_follows


@pytest.mark.parametrize("failure", LOST)
def test_lost_attempts_count_only_if_none_in_a_row_completes_an_epoch(failure: Failure) -> None:
    lost, further = (failure, False), (failure, True)
    assert [what_follows([lost] * n) for n in range(1, LOST_AT_MOST + 1)] == ["again", "again", "final"]
    assert what_follows([further] * 20) == "again"
    assert what_follows([lost, lost, further, lost, lost]) == "again"
    assert what_follows([lost, (None, False), lost, (None, False), lost]) == "final"  # interruptions change nothing


def test_each_failure_class_has_its_rule() -> None:
    assert what_follows([("oom", False)]) == "alone"
    assert what_follows([("oom", False), ("oom", True)]) == "final"
    assert what_follows([("oom", False), ("lost_node", False)]) == "again"
    assert what_follows([("data", False)]) == "again"
    assert what_follows([("data", False), ("data", False)]) == "final"
    for failure in ("diverged", "user_error", "time_limit"):
        assert what_follows([(failure, True)]) == "final"
    assert what_follows([("disk_full", False)]) == "pause"
    assert what_follows([(None, True)]) == "again"


def test_a_trial_that_ran_out_of_memory_still_runs_alone_after_its_worker_is_lost() -> None:
    assert alone(["oom", "lost_worker"])
    assert not alone(["lost_worker", None])


def test_a_failed_attempt_leaves_its_trial_pending_unless_the_failure_is_final() -> None:
    assert state_after("oom", "alone") == state_after("disk_full", "pause") == "interrupted"
    assert (state_after("oom", "final"), state_after("diverged", "final")) == ("failed", "diverged")
