"""Run all cases in order within the time limit; a failed row does not end the run."""

import contextlib
import gc
import sys
import time
from collections.abc import Iterable, Iterator, Sequence

import torch

from benchmarks.gpu.cases import MODELS, Size
from benchmarks.gpu.layers import Layer, layer_pass, layers, replay, time_passes
from benchmarks.gpu.parity import Reference, check, reference
from benchmarks.gpu.rows import AnyRow, LayerRow, Report, Row
from benchmarks.gpu.training import measure, observe
from convnn.training import Diverged


def first_line(error: BaseException) -> str:
    """Return the first line of an error's message, safe for a table."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].replace("|", "/")[:160]


def origin(error: BaseException) -> BaseException:
    """Return the first error in the chain of contexts."""
    while error.__context__ is not None:
        error = error.__context__
    return error


class Deadline:
    """The time limit of the run."""

    def __init__(self, minutes: float) -> None:
        self._whole_s = 60 * minutes
        self._end = time.monotonic() + self._whole_s

    def reached(self, rows: Sequence[AnyRow], keep: float = 0.0) -> Iterator[AnyRow]:
        """Yield rows while the longest row so far would fit and leave the fraction `keep` of the whole time."""
        longest = 0.0
        for row in rows:
            start = time.monotonic()
            if start + longest > self._end - keep * self._whole_s:
                return
            yield row
            longest = max(longest, time.monotonic() - start)


@contextlib.contextmanager
def told(row: Row | LayerRow, what: str) -> Iterator[None]:
    """Record in the row how it ended; a failure does not end the run."""
    print(f"{what}: {row} ...", file=sys.stderr, flush=True)
    gc.collect()
    if torch.cuda.is_initialized():
        with contextlib.suppress(RuntimeError):  # fails after an error that broke the device
            torch.cuda.empty_cache()
    try:
        yield
    except torch.OutOfMemoryError:
        row.status = "out of memory"
    except (RuntimeError, Diverged) as error:
        row.status = f"failed: {first_line(error)}"


def time_cases(rows: Iterable[Row], size: Size, device: str, steps: int) -> None:
    """Compare and time the cases."""
    references: dict[str, Reference] = {}
    for row in rows:
        model = MODELS[row.name]
        with told(row, "train"):
            if row.name not in references:
                references[row.name] = reference(model, size)
            row.parity = check(model, references[row.name], row.precision, size, device)
            if row.parity.passed:
                measure(row, model, size, device, steps)
            row.status = "ok" if row.parity.passed else "failed parity"


def trace_cases(rows: Iterable[Row], size: Size, device: str) -> None:
    """Trace the device's work."""
    for row in rows:
        with told(row, "trace"):
            observe(row, MODELS[row.name], size, device)


def time_layers(rows: Iterable[LayerRow], size: Size, device: str) -> None:
    """Time layers in eager mode."""
    found = {layer.name: layer for layer in layers(size)}
    for row in rows:
        with told(row, "eager"):
            row.eager_ms = time_passes(layer_pass(found[row.name], row, device), device, size.layer_passes)
            row.status = "ok"


def replay_layers(rows: Iterable[LayerRow], size: Size) -> None:
    """Time layers as replay of a CUDA graph."""
    found = {layer.name: layer for layer in layers(size)}
    for row in rows:
        run_replay(row, found[row.name], size)


def run_all(report: Report, size: Size, steps: int, deadline: Deadline) -> None:
    """Fill in the report within the time limit.

    Launches are slower in a process after tracing, and a process cannot draw random numbers after a failed capture. So
    everything is timed first, then traced, and captured last.
    """
    device, (traces, replays) = report.device, (0.35, 0.1)  # fractions of the whole time reserved for later parts
    time_cases(deadline.reached(report.cases, traces + replays), size, device, steps)
    time_layers(deadline.reached(report.layers, traces), size, device)
    trace_cases(deadline.reached([row for row in report.cases if row.status == "ok"], replays), size, device)
    if device == "cuda":
        replay_layers(deadline.reached([row for row in report.layers if row.status == "ok"]), size)


def run_replay(row: LayerRow, layer: Layer, size: Size) -> None:
    """Capture and replay, or record why not."""
    with told(row, "replay"):
        run = layer_pass(layer, row, "cuda")
        try:
            row.replay_ms = replay(run, size.layer_passes)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            row.status = f"not capturable: {first_line(origin(error))}"
