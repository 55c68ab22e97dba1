"""The time of a training step, and its kernel launches."""

import functools
import time

from benchmarks.gpu.cases import Model, Size
from benchmarks.gpu.rows import Row
from benchmarks.gpu.watching import Clock, Kernel, Operations, Watched, busy_us, during, largest, traced, wait, waits
from convnn.training import Recipe, TrainState, evaluate, fit

PROFILED = 3
"""Profiled steps."""

CASE_S = 8.0
"""Approximate time limit of a case's timed steps; at least 3 are timed."""


def measure(row: Row, model: Model, size: Size, device: str, steps: int) -> None:
    """Fill in training times, memory and waits."""
    state, recipe = begin(row, model, size, device)
    slow = time_epoch(row, state, recipe, device, 2)
    time_epoch(row, state, recipe, device, min(steps, max(3, int(1e3 * CASE_S / slow))))
    if device == "cuda":
        places: list[str] = []
        with during(data := Watched(3 * size.batch, device), {(1, 2): waits(places)}):
            next(fit(state, recipe, data))
        row.waits, row.waits_at = len(places), sorted(set(places))
    data = Watched(size.evaluated * size.batch, device)
    evaluate(state.model, data, recipe)
    wait(device)
    start = time.perf_counter()
    evaluate(state.model, data, recipe)
    row.evaluation_ms = 1e3 * (time.perf_counter() - start) / size.evaluated


def begin(row: Row, model: Model, size: Size, device: str) -> tuple[TrainState, Recipe]:
    """Return the training state and recipe of a model, for any number of epochs."""
    recipe = Recipe(batch_size=size.batch, epochs=10**6, precision=row.precision)
    return TrainState.create(functools.partial(model.build, size), recipe, device), recipe


def time_epoch(row: Row, state: TrainState, recipe: Recipe, device: str, steps: int) -> float:
    """Time an epoch of `steps` steps after one warm-up step; return the last step's milliseconds."""
    data, clock = Watched((steps + 1) * recipe.batch_size, device), Clock(device)
    data.at = lambda _: clock.mark()
    wait(device)
    result = next(fit(state, recipe, data))
    row.step_ms = clock.ms()[1:]
    row.epoch_ms = 1e3 * result.epoch_s / (steps + 1)
    row.memory_gb = result.gpu_mem_gb
    return row.step_ms[-1]


def observe(row: Row, model: Model, size: Size, device: str) -> None:
    """Fill in the launches of a step, after one warm-up step."""
    state, recipe = begin(row, model, size, device)
    data, kernels = Watched((1 + PROFILED) * size.batch, device), list[Kernel]()
    if device == "cpu":
        operations = Operations()
        with during(data, {(1, 2): operations}):
            next(fit(state, recipe, data))
        row.launches = operations.count
        return
    with during(data, {(1, 1 + PROFILED): traced(kernels)}):
        next(fit(state, recipe, data))
    if kernels:  # empty if the machine does not allow profiling
        row.launches = len(kernels) / PROFILED
        row.busy_ms = busy_us(kernels) / 1e3 / PROFILED
        row.kernels = largest(kernels, PROFILED)
