"""Executors by name."""

from tune_jobs.errors import UsageError
from tune_jobs.executors.base import OpenExecutor
from tune_jobs.executors.ray_tune.run import open_ray_tune

RAY_TUNE = "ray_tune"
_EXECUTORS: dict[str, OpenExecutor] = {RAY_TUNE: open_ray_tune}


def add_executor(name: str, open_it: OpenExecutor) -> None:
    """Let `tune_jobs.run` use another executor."""
    _EXECUTORS[name] = open_it


def executor_named(name: str) -> OpenExecutor:
    """How the executor of this name is opened.

    Raises:
        UsageError: If there is none.
    """
    if name not in _EXECUTORS:
        raise UsageError(f"there is no executor {name!r}; there are: {', '.join(_EXECUTORS)}.")
    return _EXECUTORS[name]
