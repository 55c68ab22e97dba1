import errno

import pytest
import torch

from convnn.data import DataError
from convnn.training import Diverged
from tune_jobs.failures import LOST, LOST_AT_MOST, Failure, alone, classify, state_after, what_follows


def test_exceptions_of_training_are_told_apart() -> None:
    cases: list[tuple[BaseException, Failure]] = [
        (Diverged(3, 7, float("nan")), "diverged"),
        (DataError("the folder is gone"), "data"),
        (OSError(errno.ENOSPC, "No space left on device"), "disk_full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk_full"),
        (MemoryError(), "oom"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."), "oom"),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"), "oom"),
        (OSError(errno.ENOMEM, "Cannot allocate memory"), "oom"),
        (OSError(errno.EACCES, "Permission denied"), "user_error"),
        (OSError(errno.ESTALE, "Stale file handle"), "lost_worker"),
        (OSError(errno.EIO, "Input/output error"), "lost_worker"),
        (ValueError("batch of 0"), "user_error"),
    ]
    assert [classify(error) for error, _ in cases] == [failure for _, failure in cases]


def test_torchs_own_refusal_of_too_much_memory_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**46, dtype=torch.uint8)
    assert classify(refused.value) == "oom"


@pytest.mark.parametrize("failure", LOST)
def test_lost_attempts_count_only_where_none_in_a_row_gets_further(failure: Failure) -> None:
    lost, further = (failure, False), (failure, True)
    assert [what_follows([lost] * n) for n in range(1, LOST_AT_MOST + 1)] == ["again", "again", "final"]
    assert what_follows([further] * 20) == "again"
    assert what_follows([lost, lost, further, lost, lost]) == "again"
    assert what_follows([lost, (None, False), lost, (None, False), lost]) == "final"  # interruptions change nothing


def test_each_class_has_its_rule() -> None:
    assert what_follows([("oom", False)]) == "alone"
    assert what_follows([("oom", False), ("oom", True)]) == "final"
    assert what_follows([("oom", False), ("lost_node", False)]) == "again"
    assert what_follows([("data", False)]) == "again"
    assert what_follows([("data", False), ("data", False)]) == "final"
    for failure in ("diverged", "user_error", "time_limit"):
        assert what_follows([(failure, True)]) == "final"
    assert what_follows([("disk_full", False)]) == "pause"
    assert what_follows([(None, True)]) == "again"


def test_a_trial_that_ran_out_of_memory_stays_alone_when_its_worker_is_lost() -> None:
    assert alone(["oom", "lost_worker"])
    assert not alone(["lost_worker", None])


def test_a_failed_attempt_leaves_its_trial_due_unless_that_is_final() -> None:
    assert state_after("oom", "alone") == state_after("disk_full", "pause") == "interrupted"
    assert (state_after("oom", "final"), state_after("diverged", "final")) == ("failed", "diverged")
