"""Observe training from outside: the start of its steps, the device's work, and where the host waits."""

import contextlib
import itertools
import json
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.gpu.cases import CLASSES, FACTS
from benchmarks.gpu.rows import Share
from convnn.data.batches import Batches
from convnn.data.cache import Images

TOP = 10
"""Number of kernels listed."""


VIEWS = {
    *(
        "view",
        "_unsafe_view",
        "reshape",
        "_reshape_alias",
        "expand",
        "permute",
        "transpose",
        "t",
        "unsqueeze",
        "squeeze",
    ),
    *(
        "slice",
        "select",
        "narrow",
        "split",
        "split_with_sizes",
        "unbind",
        "unfold",
        "diagonal",
        "as_strided",
        "movedim",
    ),
    *("detach", "alias", "lift_fresh"),
}
ON_THE_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}
"""Categories of a trace's events."""


@dataclass(frozen=True)
class Kernel:
    """One operation of the device, on its clock."""

    name: str
    start_us: float
    us: float


class Watched(Batches):
    """Synthetic images of CIFAR's size that report the start of each step."""

    def __init__(self, count: int, device: str) -> None:
        rng = np.random.default_rng(0)
        made = Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, CLASSES, count))
        super().__init__(made, np.arange(count), FACTS, device)
        self.at: Callable[[int], None] | None = None
        """Called before each step with its number, from 0, and after the last step."""

    def iterate(
        self, order: Tensor, batch_size: int, augment: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """See `Batches`."""
        batches = super().iterate(order, batch_size, augment)
        for number in itertools.count():
            if self.at is not None:
                self.at(number)
            batch = next(batches, None)
            if batch is None:
                return
            yield batch


@contextlib.contextmanager
def during(data: Watched, contexts: dict[tuple[int, int], AbstractContextManager[object]]) -> Iterator[None]:
    """Enter each context before the first of two steps, and leave it before the second."""
    stacks = {steps: ExitStack() for steps in contexts}

    def at(number: int) -> None:
        for (_, last), stack in stacks.items():
            if number == last:
                stack.close()
        for steps, stack in stacks.items():
            if number == steps[0]:
                stack.enter_context(contexts[steps])

    data.at = at
    try:
        yield
    finally:
        data.at = None
        for stack in stacks.values():
            stack.close()


class Clock:
    """Marks on the device's clock."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._events: list[torch.cuda.Event] = []
        self._times: list[float] = []

    def mark(self) -> None:
        """Set a mark without waiting."""
        if self._device == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append(event)
        else:
            self._times.append(1e3 * time.perf_counter())

    def ms(self) -> list[float]:
        """Return the milliseconds between consecutive marks."""
        wait(self._device)
        between = [one.elapsed_time(other) for one, other in itertools.pairwise(self._events)]
        return between + [other - one for one, other in itertools.pairwise(self._times)]


def wait(device: str) -> None:
    """Wait until the device has finished all its work."""
    if device == "cuda":
        torch.cuda.synchronize()


class Operations(TorchDispatchMode):
    """Count torch's operations by name, without views, which do no work."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.counts: Counter[str] = Counter()

    @property
    def count(self) -> int:
        """Number of all operations."""
        return self.counts.total()

    def __torch_dispatch__(
        self,
        func: Any,  # noqa: ANN401 - an operation of torch
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Count an operation and run it."""
        name = func.overloadpacket.__name__
        if name not in VIEWS:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def waits(found: list[str]) -> Iterator[None]:
    """Collect the file and line of each operation at which the host waits for the device."""
    before = torch.cuda.get_sync_debug_mode()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        torch.cuda.set_sync_debug_mode("warn")
        try:
            yield
        finally:
            torch.cuda.set_sync_debug_mode(before)
            lines = [one for one in caught if "called a synchronizing CUDA operation" in str(one.message)]
            found.extend(f"{'/'.join(Path(one.filename).parts[-2:])}:{one.lineno}" for one in lines)


@contextlib.contextmanager
def traced(found: list[Kernel]) -> Iterator[None]:
    """Collect the device's operations."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        yield
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        found.extend(read_trace(json.loads(file.read_text(encoding="utf-8", errors="replace"))))


def read_trace(trace: dict[str, Any]) -> list[Kernel]:
    """Return the device's operations from the profiler's file."""
    events = (event for event in trace["traceEvents"] if event.get("cat") in ON_THE_DEVICE and "dur" in event)
    return [Kernel(event["name"], float(event["ts"]), float(event["dur"])) for event in events]


def busy_us(kernels: Iterable[Kernel]) -> float:
    """Return the time in which at least one kernel ran."""
    total, until = 0.0, -float("inf")
    for kernel in sorted(kernels, key=lambda kernel: kernel.start_us):
        end = kernel.start_us + kernel.us
        total += max(0.0, end - max(until, kernel.start_us))
        until = max(until, end)
    return total


def largest(kernels: Sequence[Kernel], steps: int) -> list[Share]:
    """Return the kernels that take the most time."""
    times: defaultdict[str, float] = defaultdict(float)
    for kernel in kernels:
        times[kernel.name] += kernel.us
    counts = Counter(kernel.name for kernel in kernels)
    whole = sum(times.values()) or 1.0
    best = sorted(times, key=lambda name: times[name], reverse=True)[:TOP]
    return [Share(name, times[name] / whole, counts[name] / steps) for name in best]
