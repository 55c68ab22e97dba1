"""Record when this process imports slow modules and when it first trains. Python runs this file at its start.

On PYTHONPATH, it also runs in the workers. Each line of the file named by MOMENTS: time, kind of process, moment.
"""

import os
import sys
import time
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Any

MOMENTS = "CONVNN_MOMENTS"
WATCHED = {
    "convnn.training",
    "ray",
    "ray.tune",
    "torch",
    "tune_jobs.cli.app",
    "tune_jobs.executors.ray_tune.run",
    "tune_jobs.executors.ray_tune.worker",
    "tune_jobs.worker.attempt",
}
PROCESS = "worker" if any("default_worker" in word for word in sys.orig_argv) else "command"


def note(moment: str) -> None:
    """Write a complete line, because several processes write."""
    with open(os.environ[MOMENTS], "a", encoding="utf-8") as file:  # noqa: PTH123 - pathlib is not loaded yet
        file.write(f"{time.time():.4f}\t{PROCESS} {os.getpid()}\t{moment}\n")


def _noted(owner: Any, name: str, moment: str) -> None:  # noqa: ANN401 - a module or a class
    """Record the start and end of a function's first call."""
    inner: Callable[..., Any] = getattr(owner, name)
    calls = iter([moment])

    def outer(*arguments: Any, **named: Any) -> Any:  # noqa: ANN401 - any signature
        first = next(calls, None)
        if first is not None:
            note(f"{first} starts")
        try:
            return inner(*arguments, **named)
        finally:
            if first is not None:
                note(f"{first} ends")

    setattr(owner, name, outer)


def _watch(module: ModuleType) -> None:
    if module.__name__ == "convnn.training":
        _noted(module, "_train_epoch", "epoch")
        _noted(module, "_require_finite", "the first step's check")
    elif module.__name__ == "tune_jobs.worker.attempt":
        _noted(module, "prepare", "preparing")
        _noted(module, "load_dataset", "opening the images")
        _noted(module, "build_model", "building the model")
    elif module.__name__ == "ray":
        _noted(module, "init", "ray.init")
    elif module.__name__ == "tune_jobs.executors.ray_tune.worker":
        _noted(module, "train_attempt", "attempt")


class _Finder:
    """Find the watched modules as Python does, and record when they are executed."""

    @staticmethod
    def find_spec(name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> ModuleSpec | None:
        spec = PathFinder.find_spec(name, path, target) if name in WATCHED else None
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def noted(module: ModuleType) -> None:
            note(f"import {name} starts")
            execute(module)
            note(f"import {name} ends")
            _watch(module)

        spec.loader.exec_module = noted  # type: ignore[method-assign]
        return spec


if MOMENTS in os.environ:
    note("process starts")
    sys.meta_path.insert(0, _Finder)
