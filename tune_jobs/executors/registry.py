"""Executors by name."""

from tune_jobs.errors import UsageError
from tune_jobs.executors.base import OpenExecutor
from tune_jobs.executors.ray_tune.run import open_ray_tune

RAY_TUNE = "ray_tune"
_EXECUTORS: dict[str, OpenExecutor] = {RAY_TUNE: open_ray_tune}


def add_executor(name: str, open_it: OpenExecutor) -> None:
    """Register another executor for `tune_jobs.run`."""
    _EXECUTORS[name] = open_it


def executor_named(name: str) -> OpenExecutor:
    """Return the function that opens the executor of this name.

    Raises:
        UsageError: If no executor has this name.
    """
    if name not in _EXECUTORS:
        raise UsageError(f"unknown executor {name!r}; available: {', '.join(_EXECUTORS)}.")
    return _EXECUTORS[name]
