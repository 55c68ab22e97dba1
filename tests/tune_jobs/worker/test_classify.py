import errno

import pytest
import torch

from convnn.data import DataError
from convnn.training import Diverged
from tune_jobs.worker.classify import classify


def test_exceptions_of_training_get_their_class() -> None:
    cases: list[tuple[BaseException, str]] = [
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


def test_torchs_allocation_error_is_out_of_memory() -> None:
    with pytest.raises(RuntimeError) as refused:
        torch.empty(2**46, dtype=torch.uint8)
    assert classify(refused.value) == "oom"
