"""The training loop: a generator of epochs. It writes no files and knows nothing of sweeps.

Errors: `Diverged` where a loss is not finite, in training or evaluation; `ValueError` where a recipe cannot run on the
device.
"""

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from convnn.data.batches import Batches
from convnn.optimizers import SGD, AdamW

Precision = Literal["fp32", "tf32", "bf16"]

STATE_VERSION = 1
LOSSES_PER_CHECK = 50
"""Steps between two looks at the losses on CUDA, where every look waits for the device; on the CPU each step."""


class Diverged(Exception):  # noqa: N818 - the field's word for it
    """A loss was not finite: at this epoch and step (both from 1), or over all of a part after this epoch."""

    def __init__(self, epoch: int, step: int | None, loss: float, part: str = "training") -> None:
        super().__init__(epoch, step, loss, part)
        self.epoch, self.step, self.loss, self.part = epoch, step, loss, part

    def __str__(self) -> str:
        what = "the loss" if self.step else f"the {self.part} loss"
        where = f"at epoch {self.epoch}" + (f", step {self.step}" if self.step else "")
        return f"{what} became {self.loss} {where}; try a smaller learning rate."


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are the published runs' (paper 6.1): AdamW, no schedule, no augmentation."""

    lr: float = 1e-4
    epochs: int = 150
    batch_size: int = 256
    optimizer: Literal["adamw", "sgd"] = "adamw"
    weight_decay: float = 0.01
    clip_norm: float | None = 1.0
    label_smoothing: float = 0.0
    schedule: Literal["constant", "cosine"] = "constant"
    augmentation: Literal["none", "flip_shift"] = "none"
    precision: Precision = "fp32"
    compile: bool = False
    seed: int = 0


@dataclass(frozen=True)
class EpochResult:
    """One epoch's numbers. Losses are means over images, accuracies right answers over images.

    `val_*` and `test_*` are `None` where that part was not given. `epoch_s` and `images_per_s` are of the training
    pass alone; `gpu_mem_gb` (10^9 bytes) is the device's peak, `None` on the CPU.
    """

    epoch: int
    train_loss: float
    train_accuracy: float
    val_loss: float | None
    val_accuracy: float | None
    test_loss: float | None
    test_accuracy: float | None
    epoch_s: float
    images_per_s: float
    gpu_mem_gb: float | None

    def metrics(self) -> dict[str, float]:
        """The numbers that are there, under the names that trackers use: `val/accuracy` and so on."""
        numbers = asdict(self)
        del numbers["epoch"]
        for part in ("train", "val", "test"):
            for kind in ("loss", "accuracy"):
                numbers[f"{part}/{kind}"] = numbers.pop(f"{part}_{kind}")
        return {name: value for name, value in numbers.items() if value is not None}


@dataclass
class TrainState:
    """All that training needs to go on as if it had never stopped: after `epoch` epochs.

    `random` holds the states of torch's generators (weights, dropout, candidates) and of the batch order's own;
    `identity` names the configuration, whose checkpoints alone may be loaded.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    device: torch.device
    epoch: int = 0
    random: dict[str, Tensor] = field(default_factory=dict)
    identity: str = ""

    @classmethod
    def create(
        cls, build: Callable[[], nn.Module], recipe: Recipe, device: torch.device | str = "cpu", identity: str = ""
    ) -> "TrainState":
        """Build the model under the recipe's seed. Weights are drawn on the CPU, so every device starts alike."""
        device = torch.device(device)
        torch.manual_seed(recipe.seed)
        model = to_device(build(), recipe.precision, device)
        order = torch.Generator().manual_seed(recipe.seed)
        return cls(model, _optimizer(model, recipe), device, 0, _capture(order, device), identity)

    def save(self, path: Path) -> None:
        """Write a checkpoint, all or nothing."""
        save_checkpoint(
            {
                "version": STATE_VERSION,
                "identity": self.identity,
                "epoch": self.epoch,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": self.random,
            },
            path,
        )

    def load(self, path: Path) -> None:
        """Take over the state written to `path` by the same model and recipe.

        Raises:
            CheckpointError: If the file is damaged, or is of another model or version.
        """
        content = load_checkpoint(path)
        if content.get("version") != STATE_VERSION:
            raise CheckpointError(
                f"{path} has state version {content.get('version')}, this program reads {STATE_VERSION}; "
                f"delete it to train from the start."
            )
        if content["identity"] != self.identity:
            raise _of_another(path, f"{content['identity']!r}, this is {self.identity!r}")
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
        except (RuntimeError, ValueError, KeyError) as error:
            raise _of_another(path, (str(error).splitlines() or ["?"])[-1].strip()) from error
        self.epoch = content["epoch"]
        self.random.update(content["random"])


def _of_another(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is the checkpoint of another configuration ({reason}); delete it to train from the start, or name "
        f"another file."
    )


def fit(
    state: TrainState,
    recipe: Recipe,
    train: Batches,
    *,
    val: Batches | None = None,
    test: Batches | None = None,
) -> Iterator[EpochResult]:
    """Train from `state.epoch` to `recipe.epochs`; between two epochs `state` is whole and may be saved.

    On the CPU the same recipe, data and thread count give the same numbers bit for bit, stopped and resumed or not.

    Args:
        state: Advanced in place.
        recipe: How to train.
        train: What to learn.
        val: Evaluated after every epoch, if given.
        test: The same; give it only where the protocol allows.

    Yields:
        One result per epoch.

    Raises:
        Diverged: If a loss is not finite, in training or evaluation; `state` is then not to be used.
        ValueError: If the recipe's precision does not exist on the device.
    """
    set_precision(recipe.precision, state.device)
    fast: Any = torch.compile(state.model) if recipe.compile else state.model
    order = torch.Generator()
    while state.epoch < recipe.epochs:
        _restore(state.random, order, state.device)
        if state.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(state.device)
        start = time.monotonic()
        loss, accuracy = _train_epoch(fast, state, recipe, train, order)
        seconds = time.monotonic() - start
        val_loss, val_accuracy = evaluate(state.model, val, recipe) if val is not None else (None, None)
        test_loss, test_accuracy = evaluate(state.model, test, recipe) if test is not None else (None, None)
        for part, value in (("training", loss), ("validation", val_loss), ("test", test_loss)):
            if value is not None and not math.isfinite(value):
                raise Diverged(state.epoch + 1, None, value, part)
        state.epoch += 1
        state.random = _capture(order, state.device)
        yield EpochResult(
            epoch=state.epoch,
            train_loss=loss,
            train_accuracy=accuracy,
            val_loss=val_loss,
            val_accuracy=val_accuracy,
            test_loss=test_loss,
            test_accuracy=test_accuracy,
            epoch_s=seconds,
            images_per_s=len(train) / seconds,
            gpu_mem_gb=torch.cuda.max_memory_allocated(state.device) / 1e9 if state.device.type == "cuda" else None,
        )


@torch.no_grad()
def evaluate(model: nn.Module, data: Batches, recipe: Recipe) -> tuple[float, float]:
    """Mean cross-entropy and accuracy over all images of `data`, in evaluation mode."""
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=data.device)
    right = torch.zeros((), dtype=torch.int64, device=data.device)
    for images, labels in data.iterate(torch.arange(len(data)), recipe.batch_size):
        with autocast(recipe.precision, data.device):
            logits = model(images)
        loss += F.cross_entropy(logits.float(), labels, reduction="sum")
        right += (logits.argmax(dim=-1) == labels).sum()
    return loss.item() / len(data), right.item() / len(data)


def _train_epoch(
    fast: nn.Module, state: TrainState, recipe: Recipe, train: Batches, order: torch.Generator
) -> tuple[float, float]:
    """`fast` trains on whole batches alone: compiling takes half a minute for each size, and again to evaluate."""
    state.model.train()
    steps = math.ceil(len(train) / recipe.batch_size)
    losses: list[Tensor] = []
    total = torch.zeros((), dtype=torch.float64, device=state.device)
    right = torch.zeros((), dtype=torch.int64, device=state.device)
    every = 1 if state.device.type == "cpu" else LOSSES_PER_CHECK
    augment = order if recipe.augmentation == "flip_shift" else None
    batches = train.iterate(torch.randperm(len(train), generator=order), recipe.batch_size, augment)
    for step, (images, labels) in enumerate(batches, start=1):
        for group in state.optimizer.param_groups:
            group["lr"] = _learning_rate(recipe, state.epoch + (step - 1) / steps)
        with autocast(recipe.precision, state.device):
            logits = (fast if len(labels) == recipe.batch_size else state.model)(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if recipe.clip_norm is not None:
            nn.utils.clip_grad_norm_(state.model.parameters(), recipe.clip_norm)
        losses.append(loss.detach())
        if step % every == 0 or step == steps:
            _require_finite(losses, state.epoch + 1, step)
            losses.clear()
        state.optimizer.step()
        total += loss.detach() * len(labels)
        right += (logits.argmax(dim=-1) == labels).sum()
    return total.item() / len(train), right.item() / len(train)


def _require_finite(losses: list[Tensor], epoch: int, last_step: int) -> None:
    values = torch.stack(losses)
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        first = int(bad[0])
        raise Diverged(epoch, last_step - len(losses) + 1 + first, values[first].item())


def _learning_rate(recipe: Recipe, epochs_done: float) -> float:
    if recipe.schedule == "constant":
        return recipe.lr
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * epochs_done / recipe.epochs))


def _optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    if recipe.optimizer == "sgd":
        return SGD(model.parameters(), recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay)
    return AdamW(model.parameters(), recipe.lr, weight_decay=recipe.weight_decay)


def set_precision(precision: Precision, device: torch.device) -> None:
    """How products and convolutions in float32 are made from now on, in this process.

    Raises:
        ValueError: If the device has no such precision.
    """
    if precision == "tf32" and device.type != "cuda":
        raise ValueError("training.precision: tf32 exists on NVIDIA GPUs only, this trial is on the CPU; use fp32.")
    torch.set_float32_matmul_precision("high" if precision == "tf32" else "highest")
    torch.backends.cudnn.allow_tf32 = precision == "tf32"


def to_device(model: nn.Module, precision: Precision, device: torch.device) -> nn.Module:
    """The model on the device. On GPUs, below fp32, images keep a pixel's channels side by side.

    cuDNN has fast bf16 kernels for that order alone: VGG-11 trained 3 times as fast (benchmarks/results).
    """
    model = model.to(device)
    if device.type == "cuda" and precision != "fp32":
        model.to(memory_format=torch.channels_last)
    return model


def autocast(precision: Precision, device: torch.device) -> AbstractContextManager[object]:
    """A block in which products are made in bfloat16, if that is the precision."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def _capture(order: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    states = {"order": order.get_state(), "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def _restore(states: dict[str, Tensor], order: torch.Generator, device: torch.device) -> None:
    order.set_state(states["order"])
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
