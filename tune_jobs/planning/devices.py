"""Estimates how long a sweep takes on measured devices, from recorded speeds; the result is always a range.

The speeds are those in benchmarks/results: whole training steps (forward, backward, optimizer) on synthetic images of
CIFAR's size that are already on the device. Each case gives the time of a step and, with the closed-form FLOPs of its
model, the achieved FLOP/s. A trial is compared with the cases of its model and precision. Among these, cases with the
same optimizer, the same use of ConvNN and a similar size are preferred. The trial's range is from the fastest to the
slowest of them, widened by the device's `faster` and `slower`. A model or precision that was not measured on a device
has no estimate there.

GPUs were measured with the code of 0.1.0. Since then a step starts fewer operations, and the gain on a GPU is not
known, so `faster` is 2 there. `slower` is 1.5: in one case, two machines with an H100 differed by a factor of 1.44. The
CPU was measured with the code of 0.2.0; according to its file, its speed varies from hour to hour.

Not included: reading and decoding images, the first compilation, the start of Ray and its workers, checkpoints.
"""

import math
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal

from convnn.data import DATASETS
from search_spaces import TrialConfig
from search_spaces.models.base import lam

PASSES = 3
"""FLOPs of a training step, in forward passes: the backward pass counts as two."""

ALIKE = 4.0
"""Models whose FLOPs differ by no more than this factor count as one size."""

GPU_STEP_S = 0.002
"""Minimum time of a step on a GPU: a step starts hundreds of kernels, whatever their size.

About half of the time of the eight convolutions of VGG-11 alone, forward and backward (0.4 to 0.5 ms each)."""

KINDS = {"conv2d", "convnn", "hybrid", "attention", "kvt", "local", "sparse"}
"""Kinds of layers and attention with measured speeds; local and sparse attention count as masked attention."""

CPU_THREADS = 2
"""Number of threads with which the CPU was measured."""


@dataclass(frozen=True)
class Speed:
    """The recorded speed of one case; `model` and `training` are its fields in a sweep file."""

    case: str
    model: dict[str, Any]
    training: dict[str, Any]
    images_per_s: float

    @cached_property
    def config(self) -> TrialConfig:
        """The measured trial."""
        return TrialConfig.model_validate({"data": {"name": "cifar10"}, "model": self.model, "training": self.training})

    @cached_property
    def gflops(self) -> float:
        """FLOPs of the forward pass of one image, in 10^9."""
        flops = self.config.model.flops(DATASETS["cifar10"].classes)
        assert flops is not None  # built-in models have closed forms
        return flops / 1e9

    @property
    def step_s(self) -> float:
        """Seconds per training step."""
        return self.config.training.batch_size / self.images_per_s

    @cached_property
    def gflops_per_s(self) -> float:
        """Achieved speed of training, in 10^9 FLOP/s."""
        return PASSES * self.gflops * self.images_per_s


@dataclass(frozen=True)
class Device:
    """A device, and the speeds recorded on it."""

    name: str
    """For a GPU, its name in the GPU driver."""

    unit: Literal["GPU-hours", "CPU-hours"]
    recorded: str
    """The day of the measurement."""

    version: str
    """The version of this package."""

    source: str
    """The file with the measurements."""

    slower: float
    """Factor by which a trial's step may be slower than recorded."""

    faster: float
    """Factor by which a trial's step may be faster than recorded."""

    speeds: tuple[Speed, ...]


@dataclass(frozen=True)
class Work:
    """The work of one epoch: GFLOPs per image in a forward pass, and the images, with evaluated ones at their share."""

    config: TrialConfig
    gflops: float
    images: float

    @property
    def steps(self) -> float:
        """Number of training steps."""
        return self.images / self.config.training.batch_size


@dataclass(frozen=True)
class Estimate:
    """The time that all trials of a sweep need on one device, from `low` to `high`, in its `unit`."""

    device: str
    unit: Literal["GPU-hours", "CPU-hours"]
    low: float
    high: float
    recorded: str
    """The day on which the speeds were measured."""

    version: str
    """The version of this package that was measured."""

    source: str
    here: bool
    """Whether this machine has such a GPU."""


def estimates(
    works: Sequence[Work], trial_epochs: int, *, cpus: int, gpus: float, here: Collection[str] = ()
) -> list[Estimate]:
    """Return the time that a sweep needs on each known device: first those `here`, then those its trials ask for.

    All trials count equally, as if the search drew uniformly.

    Args:
        works: The work of an epoch of each different trial.
        trial_epochs: Epochs of all trials together, if each trains for the largest number of epochs in the space.
        cpus: CPUs per trial.
        gpus: GPUs per trial, at most one. Trials that share a GPU take together as long as one after another, or less
            if their steps are small.
        here: The names of this machine's GPUs.
    """
    wanted = "GPU-hours" if gpus else "CPU-hours"
    found = []
    for device in DEVICES:
        if (seconds := _mean_epoch_s(device, works, cpus, gpus)) is not None:
            low, high = (each * trial_epochs / 3600 for each in seconds)
            about = device.recorded, device.version, device.source
            found.append(Estimate(device.name, device.unit, low, high, *about, here=device.name in here))
    return sorted(found, key=lambda estimate: (not estimate.here, estimate.unit != wanted))


def _mean_epoch_s(device: Device, works: Sequence[Work], cpus: int, gpus: float) -> tuple[float, float] | None:
    """Return the GPU or core seconds per epoch of the mean trial; `None` if a trial matches no measured case."""
    longest = max((work.config.training.epochs for work in works), default=0)
    kin: dict[tuple[str, str, str, bool], list[Speed]] = {}
    low = high = 0.0
    for work in works:
        kind = _kind(work.config)
        if kind not in kin:
            kin[kind] = _kin(kind, device.speeds)
        cases = _of_the_size(work.gflops, kin[kind])
        parts = work.config.model.mixing_layer.parts()
        if not cases or any(getattr(part, "kind", None) not in KINDS for part in parts):
            return None
        fast, slow = _epoch_s(device, work, cases, share=gpus or 1.0)
        low += fast * work.config.training.epochs / longest
        high += slow
    least, most = _held(device, cpus)
    return (low * least / len(works), high * most / len(works)) if works else None


def _held(device: Device, cpus: int) -> tuple[int, int]:
    """Return GPU or core seconds per second on the device, at least and at most.

    A trial on one core takes as long as on the measured two, or twice as long. On four cores it takes as long, or half
    as long.
    """
    if device.unit == "GPU-hours":
        return 1, 1
    return min(cpus, CPU_THREADS), max(cpus, CPU_THREADS)


def _epoch_s(device: Device, work: Work, cases: list[Speed], *, share: float) -> tuple[float, float]:
    """Return the seconds of an epoch of a trial that runs alone on the device, at least and at most."""
    gflops = PASSES * work.gflops * work.images
    fast = gflops / max(case.gflops_per_s for case in cases) / device.faster
    if device.unit == "GPU-hours":
        fast = max(fast, work.steps * GPU_STEP_S * share)
    slow = gflops / min(case.gflops_per_s for case in cases)
    slow = max(slow, (math.ceil(work.steps) + 1) * _longest_step_s(cases, work.config.training.batch_size))
    return fast, slow * device.slower


def _longest_step_s(cases: list[Speed], batch: int) -> float:
    """Return the longest measured step with such a batch; a smaller model starts the same number of operations."""
    sizes = {case.config.training.batch_size for case in cases}
    nearest = min((size for size in sizes if size >= batch), default=max(sizes))
    longest = max(case.step_s for case in cases if case.config.training.batch_size == nearest)
    return longest * max(1.0, batch / nearest)


def _kind(trial: TrialConfig) -> tuple[str, str, str, bool]:
    """Return the properties, besides size, by which trials are compared; the last is whether it has ConvNN."""
    has_convnn = any(lam(part) > 0 for part in trial.model.mixing_layer.parts())
    return trial.model.name, trial.training.precision, trial.training.optimizer, has_convnn


def _kin(kind: tuple[str, str, str, bool], speeds: Iterable[Speed]) -> list[Speed]:
    """Return the cases to compare such a trial with; none if its model or precision was not measured."""
    kinds = [(case, _kind(case.config)) for case in speeds]
    found = [(case, other) for case, other in kinds if other[:2] == kind[:2]]
    found = [(case, other) for case, other in found if other[2] == kind[2]] or found
    return [case for case, other in found if other[3] == kind[3]] or [case for case, _ in found]


def _of_the_size(gflops: float, cases: list[Speed]) -> list[Speed]:
    """Return the cases of similar size; if there are none, the next smaller and the next larger ones."""
    alike = [case for case in cases if gflops / ALIKE <= case.gflops <= gflops * ALIKE]
    if alike or not cases:
        return alike
    largest_below = max((case.gflops for case in cases if case.gflops < gflops), default=0.0)
    least_above = min((case.gflops for case in cases if case.gflops > gflops), default=math.inf)
    return [
        case
        for case in cases
        if largest_below / ALIKE <= case.gflops <= largest_below or least_above <= case.gflops <= least_above * ALIKE
    ]


def _vgg(layer: dict[str, Any], **more: float) -> dict[str, Any]:
    return {"name": "vgg11", "layer": layer, **more}


def _vit(kind: str, **more: Any) -> dict[str, Any]:  # noqa: ANN401 - fields of any kind
    return {"name": "vit_tiny", "attention": {"kind": kind, **more}}


_R_64 = {"kind": "random", "r": 64, "when_too_few": "all"}
_R_32 = {"candidates": {"kind": "random", "r": 32}}
_EIGHTH = {"width": 0.125, "classifier_width": 512}
_MODELS = {
    "VGG-11, lambda 0": _vgg({"kind": "conv2d"}),
    "VGG-11, lambda 0.5": _vgg({"kind": "hybrid", "lambda": 0.5, "k": 9}),
    "VGG-11, lambda 1": _vgg({"kind": "convnn", "k": 9}),
    "VGG-11, lambda 1, r 64": _vgg({"kind": "convnn", "k": 9, "candidates": _R_64}),
    "VGG-11, width 1/8, lambda 0": _vgg({"kind": "conv2d"}, **_EIGHTH),
    "VGG-11, width 1/8, lambda 0.5": _vgg({"kind": "hybrid", "lambda": 0.5, "k": 9}, **_EIGHTH),
    "VGG-11, width 1/8, lambda 1": _vgg({"kind": "convnn", "k": 9}, **_EIGHTH),
    "ViT-Tiny, attention": _vit("attention"),
    "ViT-Tiny, kvt, k 9": _vit("kvt", k=9),
    "ViT-Tiny, convnn, all": _vit("convnn"),
    "ViT-Tiny, convnn, r 32": _vit("convnn", **_R_32),
    "ViT-Tiny, convnn, k 9, all": _vit("convnn", k=9, similarity="dot"),
    "ViT-Tiny, convnn, k 9, r 32": _vit("convnn", k=9, similarity="dot", **_R_32),
}


def _gpu(case: str, **images_per_s: Sequence[float]) -> list[Speed]:
    """Return cases with batches of 256, for each precision."""
    return [
        Speed(case, _MODELS[case], {"precision": precision, "batch_size": 256}, rate)
        for precision, rates in images_per_s.items()
        for rate in rates
    ]


def _cpu(case: str, step_ms: float, batch: int = 32, **training: str) -> Speed:
    return Speed(case, _MODELS[case], {"batch_size": batch, **training}, batch / step_ms * 1e3)


DEVICES = (
    Device(
        name="NVIDIA H200",
        unit="GPU-hours",
        recorded="2026-11-26",
        version="0.1.0",
        source="benchmarks/results/gpu_h200_2026-11-26.md",
        slower=1.5,
        faster=2.0,
        speeds=(  # VGG-11 used channels-first here; since then only in fp32
            *_gpu("VGG-11, lambda 0", fp32=[10_288], tf32=[23_211], bf16=[6_638]),
            *_gpu("VGG-11, lambda 0.5", fp32=[6_627], tf32=[9_647, 8_869], bf16=[4_789, 4_647]),
            *_gpu("VGG-11, lambda 1", fp32=[7_631], tf32=[10_954], bf16=[11_334]),
            *_gpu("VGG-11, lambda 1, r 64", fp32=[9_149], tf32=[12_220], bf16=[12_905]),
            *_gpu("ViT-Tiny, attention", fp32=[3_161], tf32=[4_945], bf16=[8_069]),
            *_gpu("ViT-Tiny, kvt, k 9", fp32=[3_074], tf32=[5_180], bf16=[5_911]),
            *_gpu("ViT-Tiny, convnn, k 9, all", fp32=[2_274], tf32=[3_123], bf16=[3_344]),
            *_gpu("ViT-Tiny, convnn, k 9, r 32", fp32=[3_616], tf32=[4_996], bf16=[4_712]),
        ),
    ),
    Device(
        name="NVIDIA H100 80GB HBM3",
        unit="GPU-hours",
        recorded="2026-11-26",
        version="0.1.0",
        source="benchmarks/results/gpu_h100_2026-11-26.md",
        slower=1.5,
        faster=2.0,
        speeds=(  # fp32 in channels-first order, the others channels-last, as in training
            *_gpu("VGG-11, lambda 0", fp32=[9_531], tf32=[20_401, 20_242], bf16=[16_685, 21_757]),
            *_gpu("VGG-11, lambda 0.5", fp32=[6_202], tf32=[6_796, 9_084], bf16=[6_134, 8_832, 8_056]),
            *_gpu("VGG-11, lambda 1", fp32=[6_821], tf32=[8_820, 9_799], bf16=[9_659, 9_365]),
            *_gpu("VGG-11, lambda 1, r 64", tf32=[9_746], bf16=[8_492]),
        ),
    ),
    Device(
        name="2 cores of an AMD EPYC, Zen 4",
        unit="CPU-hours",
        recorded="2026-11-29",
        version="0.2.0",
        source="benchmarks/results/step_cpu_2026-11-29.md",
        slower=1.5,
        faster=1.5,
        speeds=(
            _cpu("VGG-11, lambda 0.5", 386.0),
            _cpu("VGG-11, lambda 0.5", 2369.3, batch=256),
            _cpu("VGG-11, lambda 0", 294.4),
            _cpu("VGG-11, lambda 1", 345.4),
            _cpu("VGG-11, lambda 1, r 64", 469.0),
            _cpu("VGG-11, width 1/8, lambda 0.5", 42.0),
            _cpu("VGG-11, width 1/8, lambda 0.5", 60.3, augmentation="flip_shift"),
            _cpu("VGG-11, width 1/8, lambda 0", 18.4),
            _cpu("VGG-11, width 1/8, lambda 1", 30.3),
            _cpu("VGG-11, lambda 0.5", 804.2, optimizer="sgd"),
            _cpu("ViT-Tiny, attention", 1966.2),
            _cpu("ViT-Tiny, convnn, all", 2187.5),
            _cpu("ViT-Tiny, convnn, r 32", 2007.2),
            _cpu("ViT-Tiny, kvt, k 9", 2056.4),
        ),
    ),
)
