"""Failure classes of exceptions raised by training."""

import errno
import sys

from convnn.data.errors import DataError
from tune_jobs.failures import Failure
from tune_jobs.system.files import is_full


def classify(error: BaseException) -> Failure:
    """Return the failure class of an exception raised by training."""
    training = sys.modules.get("convnn.training")  # a module that is not loaded has raised nothing
    if training is not None and isinstance(error, training.Diverged):
        return "diverged"
    if isinstance(error, DataError):
        return "data"
    if is_full(error):
        return "disk_full"
    if isinstance(error, OSError) and error.errno in _AWAY:
        return "lost_worker"
    if _out_of_memory(error):
        return "oom"
    return "user_error"


_AWAY = (errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN, errno.EHOSTUNREACH)
"""Error codes of network storage that fails temporarily; it is usually back when the trial resumes."""


def _out_of_memory(error: BaseException) -> bool:
    torch = sys.modules.get("torch")
    if isinstance(error, MemoryError) or (torch is not None and isinstance(error, torch.OutOfMemoryError)):
        return True
    if isinstance(error, OSError) and error.errno == errno.ENOMEM:
        return True
    # On the CPU, and in some CUDA libraries, torch raises a plain RuntimeError for it.
    telling = ("can't allocate memory", "not enough memory", "out of memory", "CUBLAS_STATUS_ALLOC_FAILED")
    return isinstance(error, RuntimeError) and any(words in str(error) for words in telling)
