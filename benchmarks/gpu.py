"""Where the time of a training step goes on an NVIDIA GPU, and so what to improve next.

Run: `python -m benchmarks.gpu` (at most 8 minutes); `--out benchmarks/results/NAME.md` keeps the result. It needs torch
and numpy alone. `--device cpu` runs the same code on small models, to test it.

Each model is first compared with itself in float64 on the CPU, in evaluation, with the same candidates: what each layer
makes of what that model's layer was given; in fp32 also the logits and the gradients, where every layer of every image
agrees. (Rounded below fp32, a layer's
input has other neighbors, so that the logits, which are told, are not judged.) Where another of two equally similar
neighbors was chosen an image may differ, so a share of them must agree (AGREE). A model that fails is not timed.

Then `convnn.training.fit` trains it on made-up images. Given are:

- step: from the start of a step to that of the next, on the device's clock; the median, and the least and the most;
- epoch: what the whole epoch took, by step;
- launches: kernels, copies and fills of a step on the device, and `busy`, the time in which it worked on any of them;
- waits: how often in a step the host waited for the device;
- memory: the peak of the allocator; and the time to evaluate a batch.

Last, single layers: forward and backward as usual, and as replay of a CUDA graph, which is the device's time alone.
The difference is what launching costs.
"""

import argparse
import contextlib
import datetime as dt
import functools
import gc
import itertools
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, NoReturn, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.profiler import ProfilerActivity, profile
from torch.utils._python_dispatch import TorchDispatchMode

from benchmarks.layers import machine
from convnn.attention import ConvNNAttention, SelfAttention
from convnn.data.batches import Batches
from convnn.data.cache import Images
from convnn.data.facts import DATASETS
from convnn.folding import fold
from convnn.layers import ConvNN2d, HybridBranch2d
from convnn.models.vgg import vgg11
from convnn.models.vit import Block, vit_tiny
from convnn.precision import Precision, autocast, set_precision, to_device
from convnn.training import Diverged, Recipe, TrainState, evaluate, fit

FACTS = DATASETS["cifar10"]
CLASSES = 10

TOLERANCES: dict[Precision, float] = {"fp32": 1e-3, "tf32": 1e-2, "bf16": 5e-2}
"""How far what a layer makes of an image may be from float64, relative to its norm; the same of fp32's logits."""

GRADIENT_TOLERANCE = 0.05
"""How far all gradients may be from those in float64, relative to their norm, where no layer chose another neighbor."""

AGREE = 0.9
"""The share that must be within the tolerance."""

BUSY = 0.85
"""From this share of a step on the kernels limit it, below it what comes between them."""

PROFILED = 3
"""Steps that the profiler sees."""

CASE_S = 8.0
"""A case's timed steps take about this long at most; there are 3 of them at least."""

TOP = 10
"""Kernels that are named."""

NOT_RUN = "not run"
ON_THE_DEVICE = {"kernel", "gpu_memcpy", "gpu_memset"}
"""Categories of a trace's events."""


@dataclass(frozen=True)
class Size:
    """How large everything is."""

    batch: int
    parity_images: int
    evaluated: int
    vgg: dict[str, Any]
    vit: dict[str, Any]
    layer_batches: tuple[int, ...]
    layer_passes: int
    layer_tokens: int


FULL = Size(256, 10, 4, {}, {}, (32, 256), 10, 197)
SMALL = Size(
    batch=2,
    parity_images=4,
    evaluated=1,
    vgg={"width": 0.125, "classifier_width": 64},
    vit={"image_size": 32, "patch_size": 4, "depth": 1},
    layer_batches=(2,),
    layer_passes=1,
    layer_tokens=65,
)


@dataclass(frozen=True)
class Model:
    """A model of the published runs, by name."""

    name: str
    options: dict[str, Any]

    def build(self, size: Size, *, repeatable: bool = False) -> nn.Module:
        """Build it; a repeatable one draws the same candidates at every evaluation, on every device."""
        options = dict(self.options)
        if repeatable and options.get("candidates") == "random":
            options["fixed_at_evaluation"] = True
        if self.name.startswith("VGG"):
            return vgg11(CLASSES, **size.vgg, **options)
        return vit_tiny(CLASSES, **size.vit, **options)


_CONVNN: dict[str, Any] = {"attention": "convnn", "k": 9, "similarity": "dot"}
_R32: dict[str, Any] = {**_CONVNN, "candidates": "random", "r": 32}
HALF = Model("VGG-11, lambda 0.5", {"lam": 0.5, "k": 9})
R32 = Model("ViT-Tiny, ConvNN, r 32", _R32)
FIRST = Model("ViT-Tiny, ConvNN, r 32, self first", {**_R32, "self_first": True, "self_score": 1.0, "rho": "softmax"})
OTHERS = [
    Model("VGG-11, lambda 1", {"lam": 1.0, "k": 9}),
    Model("VGG-11, lambda 1, r 64", {"lam": 1.0, "k": 9, "candidates": "random", "r": 64, "when_too_few": "all"}),
    Model("ViT-Tiny, ConvNN, all", _CONVNN),
    Model("VGG-11, lambda 0", {"lam": 0.0, "k": 9}),
    Model("ViT-Tiny, attention", {"attention": "attention"}),
]
ORDER: list[tuple[Model, Precision]] = [
    *((model, precision) for precision in ("bf16", "fp32") for model in (HALF, R32, FIRST)),
    *((model, precision) for precision in ("bf16", "fp32") for model in OTHERS),
    *((model, "tf32") for model in (HALF, R32, FIRST, *OTHERS)),
]
"""The most important first: time may run out."""

WITH_KERNELS = {(HALF.name, "bf16"), (R32.name, "bf16")}


@dataclass(frozen=True)
class Parity:
    """How far a model is from itself in float64 on the CPU; errors are relative, in the norm."""

    compared: int
    """Images, at each layer."""

    agree: int
    largest: float
    logits: float
    """The median over images."""

    gradients: float | None
    passed: bool

    def __str__(self) -> str:
        gradients = "" if self.gradients is None else f", gradients {self.gradients:.0e}"
        return f"{self.agree} of {self.compared}, at most {self.largest:.0e}; logits {self.logits:.0e}{gradients}"


@dataclass(frozen=True)
class Kernel:
    """Something that the device did, on its clock."""

    name: str
    start_us: float
    us: float


@dataclass(frozen=True)
class Share:
    """All launches of one kernel: its share of the time of all, and how many there are in a step."""

    name: str
    share: float
    count: float


@dataclass
class Row:
    """A model in a precision, with what was measured. Numbers are empty or `None` where there are none."""

    name: str
    precision: Precision
    status: str = NOT_RUN
    parity: Parity | None = None
    step_ms: list[float] = field(default_factory=list)
    epoch_ms: float | None = None
    launches: float | None = None
    busy_ms: float | None = None
    waits: int | None = None
    waits_at: list[str] = field(default_factory=list)
    memory_gb: float | None = None
    evaluation_ms: float | None = None
    kernels: list[Share] = field(default_factory=list)

    def __str__(self) -> str:
        return f"{self.name}, {self.precision}"


@dataclass
class LayerRow:
    """A layer at a batch size: milliseconds of a forward and a backward pass, as usual and replayed."""

    name: str
    batch: int
    precision: Precision
    status: str = NOT_RUN
    eager_ms: float | None = None
    replay_ms: float | None = None

    def __str__(self) -> str:
        return f"{self.name}, batch {self.batch}, {self.precision}"


@dataclass
class Report:
    """All that was measured, where and when."""

    date: str
    machine: str
    command: str
    device: str
    batch: int
    cases: list[Row]
    layers: list[LayerRow]

    def rows(self) -> list[Row | LayerRow]:
        """All."""
        return [*self.cases, *self.layers]

    def missing(self) -> list[str]:
        """Those for which there was no time."""
        return [str(row) for row in self.rows() if row.status == NOT_RUN]

    def document(self) -> dict[str, Any]:
        """For `json.dumps`."""
        return {**asdict(self), "verdicts": verdicts(self), "not_run": self.missing()}


AnyRow = TypeVar("AnyRow", Row, LayerRow)


class Watched(Batches):
    """Made-up images of CIFAR's size, which say when a step begins."""

    def __init__(self, count: int, device: str) -> None:
        rng = np.random.default_rng(0)
        made = Images(rng.integers(0, 256, (count, 32, 32, 3), dtype=np.uint8), rng.integers(0, CLASSES, count))
        super().__init__(made, np.arange(count), FACTS, device)
        self.at: Callable[[int], None] | None = None
        """Called before each step with its number from 0, and after the last."""

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
    """Marks on the device's clock, and the milliseconds between them."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._events: list[torch.cuda.Event] = []
        self._times: list[float] = []

    def mark(self) -> None:
        """Set a mark; nothing waits."""
        if self._device == "cuda":
            event = torch.cuda.Event(enable_timing=True)
            event.record()
            self._events.append(event)
        else:
            self._times.append(1e3 * time.perf_counter())

    def ms(self) -> list[float]:
        """Between each mark and the next."""
        wait(self._device)
        between = [one.elapsed_time(other) for one, other in itertools.pairwise(self._events)]
        return between + [other - one for one, other in itertools.pairwise(self._times)]


def wait(device: str) -> None:
    """Until the device has done all that it was given."""
    if device == "cuda":
        torch.cuda.synchronize()


class Operations(TorchDispatchMode):
    """Counts the operations that reach the CPU."""

    count = 0

    def __torch_dispatch__(
        self,
        func: Callable[..., object],
        types: Sequence[type],
        args: tuple[object, ...] = (),
        kwargs: dict[str, object] | None = None,
    ) -> object:
        """Count one, and do it."""
        self.count += 1
        return func(*args, **(kwargs or {}))


@contextlib.contextmanager
def waits(found: list[str]) -> Iterator[None]:
    """Note the file and line of each operation at which the host waits for the device."""
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
    """Note what the device does."""
    torch.cuda.synchronize()
    with profile(activities=[ProfilerActivity.CUDA]) as trace:
        yield
        torch.cuda.synchronize()
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "trace.json"
        trace.export_chrome_trace(str(file))
        found.extend(read_trace(json.loads(file.read_text(encoding="utf-8", errors="replace"))))


def read_trace(trace: dict[str, Any]) -> list[Kernel]:
    """What the device did, from the profiler's file."""
    events = (event for event in trace["traceEvents"] if event.get("cat") in ON_THE_DEVICE and "dur" in event)
    return [Kernel(event["name"], float(event["ts"]), float(event["dur"])) for event in events]


def busy_us(kernels: Iterable[Kernel]) -> float:
    """The time in which at least one of them ran."""
    total, until = 0.0, -float("inf")
    for kernel in sorted(kernels, key=lambda kernel: kernel.start_us):
        end = kernel.start_us + kernel.us
        total += max(0.0, end - max(until, kernel.start_us))
        until = max(until, end)
    return total


def largest(kernels: Sequence[Kernel], steps: int) -> list[Share]:
    """The kernels that take most of the time."""
    times: defaultdict[str, float] = defaultdict(float)
    for kernel in kernels:
        times[kernel.name] += kernel.us
    counts = Counter(kernel.name for kernel in kernels)
    whole = sum(times.values()) or 1.0
    best = sorted(times, key=lambda name: times[name], reverse=True)[:TOP]
    return [Share(name, times[name] / whole, counts[name] / steps) for name in best]


@dataclass(frozen=True)
class Reference:
    """A model in float64 on the CPU: what it, and each of its layers, makes of some images."""

    images: Tensor
    labels: Tensor
    logits: Tensor
    layers: dict[str, tuple[Tensor, Tensor]]
    """What goes into each and what comes out, by name."""

    gradients: dict[str, Tensor]
    buffers: dict[str, Tensor]
    """The state of its batch norms."""


def mixing_layers(model: nn.Module) -> dict[str, nn.Module]:
    """VGG's layers and ViT's blocks, by name."""
    return {name: part for name, part in model.named_modules() if isinstance(part, HybridBranch2d | Block)}


def reference(model: Model, size: Size) -> Reference:
    """Run the model in float64 on the CPU, with the weights that training begins with."""
    torch.manual_seed(Recipe().seed)
    exact = model.build(size, repeatable=True)
    fold(exact)
    exact.double()
    images = torch.randn(size.parity_images, 3, 32, 32).double()
    labels = torch.arange(size.parity_images) % CLASSES
    for part in exact.modules():
        if isinstance(part, nn.BatchNorm2d):
            part.momentum = None  # the one pass in training mode sets the mean and variance
    with torch.no_grad():
        exact.train()(images)
    seen: dict[str, tuple[Tensor, Tensor]] = {}
    for name, part in mixing_layers(exact).items():
        part.register_forward_hook(functools.partial(_remember, seen, name))
    logits = exact.eval()(images)
    F.cross_entropy(logits, labels).backward()
    gradients = {name: weight.grad.float() for name, weight in exact.named_parameters() if weight.grad is not None}
    return Reference(images.float(), labels, logits.detach(), seen, gradients, dict(exact.named_buffers()))


def _remember(
    seen: dict[str, tuple[Tensor, Tensor]], name: str, _: nn.Module, given: tuple[Tensor, ...], output: Tensor
) -> None:
    seen[name] = given[0].detach().float(), output.detach().clone()


def check(model: Model, expected: Reference, precision: Precision, size: Size, device: str) -> Parity:
    """Compare a model on the device with itself in float64 on the CPU."""
    state = TrainState.create(
        functools.partial(model.build, size, repeatable=True), Recipe(precision=precision), device
    )
    set_precision(precision, state.device)
    ours = state.model.eval()
    for name, buffer in ours.named_buffers():
        buffer.copy_(expected.buffers[name])
    with autocast(precision, state.device):
        logits = ours(expected.images.to(device))
    errors, gradient = _error(logits.detach(), expected.logits), None
    if precision == "fp32":
        gradient = _gradient_error(ours, logits, expected)
    by_layer = []
    with torch.no_grad(), autocast(precision, state.device):
        for name, layer in mixing_layers(ours).items():
            given, output = expected.layers[name]
            by_layer.append(_error(layer(given.to(device)).flatten(1), output.flatten(1)))
    of_layers, limit = torch.cat(by_layer), TOLERANCES[precision]
    agree = int((of_layers <= limit).sum())
    right = agree >= AGREE * len(of_layers) and bool(errors.isfinite().all())
    if gradient is not None and agree == len(of_layers):  # else a neighbor is another of equal ones
        right = right and bool((errors <= limit).all()) and gradient <= GRADIENT_TOLERANCE
    return Parity(len(of_layers), agree, of_layers.max().item(), errors.median().item(), gradient, passed=right)


def _gradient_error(model: nn.Module, logits: Tensor, expected: Reference) -> float:
    F.cross_entropy(logits, expected.labels.to(logits.device)).backward()
    found = {name: weight.grad.flatten().cpu() for name, weight in model.named_parameters() if weight.grad is not None}
    theirs = [expected.gradients[name].flatten() for name in found]
    return _error(torch.cat(list(found.values())), torch.cat(theirs)).item()


def _error(found: Tensor, expected: Tensor) -> Tensor:
    """The norm of the difference over that of the expected, along the last axis."""
    exact = expected.double()
    share: Tensor = (found.double().cpu() - exact).norm(dim=-1) / exact.norm(dim=-1)
    return share


def measure(row: Row, model: Model, size: Size, device: str, steps: int) -> None:
    """Fill in the times of training, its memory, and where it waits."""
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
    """A model and how it is trained, for as many epochs as are asked for."""
    recipe = Recipe(batch_size=size.batch, epochs=10**6, precision=row.precision)
    return TrainState.create(functools.partial(model.build, size), recipe, device), recipe


def time_epoch(row: Row, state: TrainState, recipe: Recipe, device: str, steps: int) -> float:
    """Time an epoch of so many steps and one before them; the last step's milliseconds."""
    data, clock = Watched((steps + 1) * recipe.batch_size, device), Clock(device)
    data.at = lambda _: clock.mark()
    wait(device)
    result = next(fit(state, recipe, data))
    row.step_ms = clock.ms()[1:]
    row.epoch_ms = 1e3 * result.epoch_s / (steps + 1)
    row.memory_gb = result.gpu_mem_gb
    return row.step_ms[-1]


def observe(row: Row, model: Model, size: Size, device: str) -> None:
    """Fill in what a step launches; one before warms up."""
    state, recipe = begin(row, model, size, device)
    data, kernels = Watched((1 + PROFILED) * size.batch, device), list[Kernel]()
    if device == "cpu":
        operations = Operations()  # type: ignore[no-untyped-call]
        with during(data, {(1, 2): operations}):
            next(fit(state, recipe, data))
        row.launches = operations.count
        return
    with during(data, {(1, 1 + PROFILED): traced(kernels)}):
        next(fit(state, recipe, data))
    if kernels:  # none where the machine forbids profiling
        row.launches = len(kernels) / PROFILED
        row.busy_ms = busy_us(kernels) / 1e3 / PROFILED
        row.kernels = largest(kernels, PROFILED)


@dataclass(frozen=True)
class Layer:
    """A layer and its input without the batch; `r` candidates, if they are drawn before and given to it."""

    name: str
    make: Callable[[], nn.Module]
    shape: tuple[int, ...]
    r: int | None = None


def layers(size: Size) -> list[Layer]:
    """Those that are timed; last the one that draws, as a capture that fails leaves the generator unusable."""
    tokens, convnn = (size.layer_tokens, 192), functools.partial(ConvNNAttention, 192, similarity="dot")
    return [
        Layer("ConvNN2d(64, 128), 16 x 16", lambda: ConvNN2d(64, 128), (64, 16, 16)),
        Layer("nn.Conv2d(64, 128), 16 x 16", lambda: nn.Conv2d(64, 128, 3, padding=1), (64, 16, 16)),
        Layer("ConvNN2d(3, 64), 32 x 32", lambda: ConvNN2d(3, 64), (3, 32, 32)),
        Layer("nn.Conv2d(3, 64), 32 x 32", lambda: nn.Conv2d(3, 64, 3, padding=1), (3, 32, 32)),
        Layer(f"SelfAttention(192), {tokens[0]} tokens", lambda: SelfAttention(192), tokens),
        Layer(f"ConvNNAttention(192), r 32 given, {tokens[0]} tokens", convnn, tokens, 32),
        Layer(
            f"ConvNNAttention(192), r 32, {tokens[0]} tokens",
            functools.partial(convnn, candidates="random", r=32),
            tokens,
        ),
    ]


def layer_pass(layer: Layer, row: LayerRow, device: str) -> Callable[[], object]:
    """A forward and a backward pass of the layer."""
    torch.manual_seed(0)
    where = torch.device(device)
    set_precision(row.precision, where)
    module = to_device(layer.make(), row.precision, where)
    x = torch.randn(row.batch, *layer.shape, device=device).relu()
    if x.dim() == 4 and device == "cuda" and row.precision != "fp32":  # noqa: PLR2004 - images, as between layers
        x = x.to(memory_format=torch.channels_last)
    x.requires_grad_()
    given = () if layer.r is None else (torch.randperm(layer.shape[0])[: layer.r].to(device),)
    wanted = [x, *module.parameters()]

    def run() -> object:
        with autocast(row.precision, where):
            y: Tensor = module(x, *given)
        return torch.autograd.grad(y, wanted, torch.ones_like(y))

    return run


def time_passes(run: Callable[[], object], device: str, passes: int) -> float:
    """Milliseconds of one, when so many follow each other: the median of 5 rounds, after a warm-up."""
    for _ in range(3):
        run()
    clock = Clock(device)
    clock.mark()
    for _ in range(5):
        for _ in range(passes):
            run()
        clock.mark()
    return statistics.median(clock.ms()) / passes


def replay(run: Callable[[], object], passes: int) -> float:
    """Milliseconds of one, as replay of a CUDA graph.

    Raises:
        RuntimeError: If it cannot be captured.
    """
    before = torch.cuda.current_stream()
    stream = torch.cuda.Stream()
    stream.wait_stream(before)
    graph = torch.cuda.CUDAGraph()
    try:
        with torch.cuda.stream(stream):
            for _ in range(3):
                run()
        torch.cuda.synchronize()
        with torch.cuda.graph(graph, stream=stream):
            kept = run()
    finally:
        torch.cuda.set_stream(before)  # where a capture fails, torch does not go back by itself
        torch.cuda.synchronize()
    found = time_passes(graph.replay, "cuda", passes)
    del kept
    return found


def first_line(error: BaseException) -> str:
    """What an error says, without what would break a table."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0].replace("|", "/")[:160]


def origin(error: BaseException) -> BaseException:
    """The error at whose handling this one, at last, was raised."""
    while error.__context__ is not None:
        error = error.__context__
    return error


class Deadline:
    """The time that is left."""

    def __init__(self, minutes: float) -> None:
        self._whole_s = 60 * minutes
        self._end = time.monotonic() + self._whole_s

    def reached(self, rows: Sequence[AnyRow], keep: float = 0.0) -> Iterator[AnyRow]:
        """Each row, as long as one that takes as long as the longest so far leaves this share of the whole time."""
        longest = 0.0
        for row in rows:
            start = time.monotonic()
            if start + longest > self._end - keep * self._whole_s:
                return
            yield row
            longest = max(longest, time.monotonic() - start)


@contextlib.contextmanager
def told(row: Row | LayerRow, what: str) -> Iterator[None]:
    """Say in the row how it ended; no single one ends all."""
    print(f"{what}: {row} ...", file=sys.stderr, flush=True)
    gc.collect()
    if torch.cuda.is_initialized():
        with contextlib.suppress(RuntimeError):  # after an error that broke the device
            torch.cuda.empty_cache()
    try:
        yield
    except torch.OutOfMemoryError:
        row.status = "out of memory"
    except (RuntimeError, Diverged) as error:
        row.status = f"failed: {first_line(error)}"


MODELS = {model.name: model for model, _ in ORDER}


def time_cases(rows: Iterable[Row], size: Size, device: str, steps: int) -> None:
    """Compare and time."""
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
    """See what the device does."""
    for row in rows:
        with told(row, "trace"):
            observe(row, MODELS[row.name], size, device)


def time_layers(rows: Iterable[LayerRow], size: Size, device: str) -> None:
    """As usual."""
    found = {layer.name: layer for layer in layers(size)}
    for row in rows:
        with told(row, "eager"):
            row.eager_ms = time_passes(layer_pass(found[row.name], row, device), device, size.layer_passes)
            row.status = "ok"


def replay_layers(rows: Iterable[LayerRow], size: Size) -> None:
    """As replay."""
    found = {layer.name: layer for layer in layers(size)}
    for row in rows:
        run_replay(row, found[row.name], size)


def run_all(report: Report, size: Size, steps: int, deadline: Deadline) -> None:
    """Fill in the report, as long as there is time.

    A process that has traced launches more slowly from then on, and one in which a capture failed may draw no random
    numbers: so all is timed first, then traced, and captured last.
    """
    device, (traces, replays) = report.device, (0.35, 0.1)  # of the whole time, for what is still to come
    time_cases(deadline.reached(report.cases, traces + replays), size, device, steps)
    time_layers(deadline.reached(report.layers, traces), size, device)
    trace_cases(deadline.reached([row for row in report.cases if row.status == "ok"], replays), size, device)
    if device == "cuda":
        replay_layers(deadline.reached([row for row in report.layers if row.status == "ok"]), size)


def run_replay(row: LayerRow, layer: Layer, size: Size) -> None:
    """Capture and replay, or say why not."""
    with told(row, "replay"):
        run = layer_pass(layer, row, "cuda")
        try:
            row.replay_ms = replay(run, size.layer_passes)
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            row.status = f"not capturable: {first_line(origin(error))}"


def verdicts(report: Report) -> list[str]:
    """What limits each case that was timed."""
    rows = [row for row in report.cases if row.status == "ok"]
    if report.device == "cpu":
        return ["Only a run on a GPU tells what limits a step."] if rows else []
    return [verdict(row) for row in rows]


def verdict(row: Row) -> str:
    """What limits a step, and what to do first."""
    if row.busy_ms is None or row.launches is None:
        return f"{row}: no kernels were traced, so it is not known what limits the step."
    step = statistics.median(row.step_ms)
    share = min(1.0, row.busy_ms / step)
    text = f"{row}: kernels are busy {share:.0%} of the step"
    if share >= BUSY:
        text += f": they limit it ({row.launches:,.0f} of them, {1e3 * row.busy_ms / row.launches:.0f} us each); "
        return text + "fused kernels first."
    text += f": launches limit it ({row.launches:,.0f} of them, {1e3 * step / row.launches:.0f} us from one to the next"
    text += f"); CUDA graphs first, by which it can become at most {1 / share:.1f} times as fast"
    if row.waits:
        text += f", but before that {row.waits} waits of the host at {', '.join(row.waits_at[:3])}"
    return text + "."


def number(value: float | None, form: str = ".2f") -> str:
    """The number, or a dash."""
    return "-" if value is None else f"{value:{form}}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Markdown."""
    return [f"| {' | '.join(cells)} |" for cells in (head, ["---"] * len(head), *rows)]


def case_cells(row: Row) -> list[str]:
    """A row of the table of cases."""
    parity = "-" if row.parity is None else str(row.parity)
    if not row.step_ms:
        return [row.name, row.precision, parity, row.status, *["-"] * 7]
    step = statistics.median(row.step_ms)
    timed = f"{step:.2f} ({min(row.step_ms):.2f} to {max(row.step_ms):.2f}; {len(row.step_ms)})"
    return [
        row.name,
        row.precision,
        parity,
        timed if row.status == "ok" else row.status,
        number(row.epoch_ms),
        number(row.launches, ",.0f"),
        number(row.busy_ms),
        number(None if row.busy_ms is None else row.busy_ms / step, ".0%"),
        number(row.waits, "d"),
        number(row.memory_gb),
        number(row.evaluation_ms),
    ]


def layer_cells(row: LayerRow) -> list[str]:
    """A row of the table of layers."""
    launching = None if row.eager_ms is None or row.replay_ms is None else row.eager_ms - row.replay_ms
    replayed = number(row.replay_ms, ".3f") if row.status == "ok" else row.status
    return [row.name, str(row.batch), row.precision, number(row.eager_ms, ".3f"), replayed, number(launching, ".3f")]


def short(name: str) -> str:
    """A kernel's name in 80 characters that break no table."""
    name = name.removeprefix("void ").replace("at::native::", "").replace("|", "/")
    return name if len(name) <= 80 else f"{name[:77]}..."  # noqa: PLR2004 - 80


def markdown(report: Report) -> str:
    """The whole result."""
    launches = "launches" if report.device == "cuda" else "operations"
    lines = [f"# Where a training step's time goes, {report.date}", "", f"Machine: {report.machine}."]
    lines += [f"Command: `{report.command}`; batches of {report.batch}.", ""]
    limits = ", ".join(f"{limit:g} in {precision}" for precision, limit in TOLERANCES.items())
    lines += [f"Parity: relative errors against float64 on the CPU, by layer and image; {AGREE:.0%} must be within"]
    lines += [f"{limits}. Times in milliseconds; a step's: median (least to most; steps)."]
    head = ["case", "precision", "parity", "step", "epoch, by step", launches, "busy", "share", "waits", "GB"]
    if report.cases:
        lines += ["", "## Training", "", *table([*head, "evaluation, by batch"], map(case_cells, report.cases))]
        lines += ["", "## What limits it", "", *(f"- {line}" for line in verdicts(report))]
    for row in report.cases:
        if (row.name, row.precision) in WITH_KERNELS and row.kernels:
            cells = ([f"`{short(one.name)}`", f"{one.share:.1%}", f"{one.count:.1f}"] for one in row.kernels)
            lines += ["", f"## Kernels of {row}", "", *table(["kernel", "share of busy", "in a step"], cells)]
    head = ["layer", "batch", "precision", "eager", "replayed", "difference: launching"]
    if report.layers:
        lines += ["", "## Layers, forward and backward", "", *table(head, map(layer_cells, report.layers))]
    if report.missing():
        lines += ["", "## Not run", "", *(f"- {name}" for name in report.missing())]
    return "\n".join(lines) + "\n"


def where(device: str) -> str:
    """Hardware, versions and commit."""
    text = machine(device).replace(", float32", "")
    if device == "cuda":
        card = torch.cuda.get_device_properties(0)
        text += f", CUDA {torch.version.cuda}, {card.total_memory / 1e9:.0f} GB, {card.multi_processor_count} SMs"
    with contextlib.suppress(OSError, subprocess.CalledProcessError):
        asked = ["git", "describe", "--always", "--dirty"]
        done = subprocess.run(  # noqa: S603 - nothing of it is given
            asked, cwd=Path(__file__).parent, capture_output=True, text=True, check=True
        )
        text += f", commit {done.stdout.strip()}"
    return text


class Parser(argparse.ArgumentParser):
    """Answers a mistake with one line."""

    def error(self, message: str) -> NoReturn:
        """End with 2."""
        self.exit(2, f"{self.prog}: {message}\n")


def _positive(kind: Callable[[str], float]) -> Callable[[str], float]:
    def read(text: str) -> float:
        with contextlib.suppress(ValueError):
            if (value := kind(text)) > 0:
                return value
        raise argparse.ArgumentTypeError(f"must be {'a whole' if kind is int else 'a'} number above 0, got {text!r}")

    return read


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """What the command line asks for; ends with 2 where that cannot be."""
    parser = Parser(prog="benchmarks.gpu", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--steps", type=_positive(int), default=20, help="timed steps of a case; fewer where slow")
    parser.add_argument("--only", default="", metavar="TEXT", help="cases and layers whose name contains this")
    parser.add_argument("--minutes", type=_positive(float), default=8.0, help="what is not begun by then is not run")
    parser.add_argument("--json", action="store_true", help="one JSON object on stdout, the text on stderr")
    parser.add_argument("--out", type=Path, metavar="FILE", help="also write the text to this new file")
    asked = parser.parse_args(arguments)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # torch has much to say where a driver is missing
        if asked.device == "cuda" and not torch.cuda.is_available():
            parser.error("torch finds no NVIDIA GPU here; --device cpu tests the program on small models.")
    if asked.out is not None and asked.out.exists():
        parser.error(f"{asked.out} exists and is not overwritten; name another file.")
    if asked.out is not None and not asked.out.absolute().parent.is_dir():
        parser.error(f"{asked.out.absolute().parent} is not a folder; make it first.")
    return asked


def planned(device: str, only: str, size: Size, command: str) -> Report:
    """A report with all that is to be run, and no number yet."""
    precisions = ("fp32", "tf32", "bf16") if device == "cuda" else ("fp32", "bf16")
    cases = [Row(model.name, precision) for model, precision in ORDER if precision in precisions]
    of_layers: tuple[Precision, ...] = ("bf16", "fp32") if device == "cuda" else ("fp32",)
    kinds = itertools.product(layers(size), of_layers, size.layer_batches)
    single = [LayerRow(layer.name, batch, precision) for layer, precision, batch in kinds]
    return Report(
        date=dt.datetime.now().astimezone().date().isoformat(),
        machine=where(device),
        command=command,
        device=device,
        batch=size.batch,
        cases=[row for row in cases if only in str(row)],
        layers=[row for row in single if only in str(row)],
    )


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure and print; 1 if something failed."""
    asked = parse(arguments)
    size = FULL if asked.device == "cuda" else SMALL
    given = sys.argv[1:] if arguments is None else arguments
    report = planned(asked.device, asked.only, size, " ".join(["python -m benchmarks.gpu", *given]))
    code = 0
    try:
        run_all(report, size, asked.steps, Deadline(asked.minutes))
    except KeyboardInterrupt:
        code = 130
    text = markdown(report)
    print(text, file=sys.stderr if asked.json else sys.stdout, flush=True)
    if asked.json:
        print(json.dumps(report.document()))
    if asked.out is not None:
        with asked.out.open("x", encoding="utf-8") as file:
            file.write(text)
    failed = any(row.status.startswith("failed") for row in report.rows())
    return code or int(failed)


if __name__ == "__main__":
    sys.exit(main())
