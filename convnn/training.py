"""The training loop: a generator of epochs. It writes no files and does not know about sweeps.

Errors: `Diverged` if a loss is not finite, in training or evaluation; `ValueError` if a recipe cannot run on the
device.
"""

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from convnn.data.batches import Batches
from convnn.folding import Fold, fold, folded_weight, unfold, whole_again
from convnn.optimizers import COPIES, SGD, AdamW, Clipping
from convnn.precision import Precision, autocast, set_precision, to_device

STATE_VERSION = 2
"""Version 1, from program version 0.1.0, can also be read: see `TrainState.load`."""


class Diverged(Exception):  # noqa: N818 - the field's standard term
    """A number was not finite: at this epoch and step (both counted from 1), or over a whole split after this epoch."""

    def __init__(self, epoch: int, step: int | None, value: float, what: str = "the loss") -> None:
        super().__init__(epoch, step, value, what)
        self.epoch, self.step, self.value, self.what = epoch, step, value, what

    def __str__(self) -> str:
        where = f"at epoch {self.epoch}" + (f", step {self.step}" if self.step else "")
        return f"{self.what} became {self.value} {where}; try a smaller learning rate."


@dataclass(frozen=True)
class Recipe:
    """How to train. The defaults are those of the published runs (paper 6.1): AdamW, no schedule, no augmentation."""

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
    """The results of one epoch. Losses are means over images; accuracies are correct images divided by all images.

    `val_*` and `test_*` are `None` if that split was not given. `epoch_s` and `images_per_s` measure only the training
    pass. `gpu_mem_gb` (10^9 bytes) is the device's peak, `None` on the CPU.
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
        """Return the available numbers under the names that trackers use, such as `val/accuracy`."""
        numbers = asdict(self)
        del numbers["epoch"]
        for part in ("train", "val", "test"):
            for kind in ("loss", "accuracy"):
                numbers[f"{part}/{kind}"] = numbers.pop(f"{part}_{kind}")
        return {name: value for name, value in numbers.items() if value is not None}


@dataclass
class TrainState:
    """The complete state of training after `epoch` epochs, from which it resumes as if it had never stopped.

    `random` holds the states of torch's generators (weights, dropout, candidates) and of the batch order's generator.
    `identity` names the configuration; only its own checkpoints can be loaded.
    """

    model: nn.Module
    optimizer: Clipping
    device: torch.device
    epoch: int = 0
    random: dict[str, Tensor] = field(default_factory=dict)
    identity: str = ""
    fold: Fold | None = None
    """Set if the first fully connected layer is trained folded; it recovers the published layer."""

    note: str | None = None
    """How results differ from those of the program that wrote the state."""

    also: frozenset[str] = frozenset()
    """Other accepted identities: the names that earlier versions gave this configuration."""

    @classmethod
    def create(
        cls, build: Callable[[], nn.Module], recipe: Recipe, device: torch.device | str = "cpu", identity: str = ""
    ) -> "TrainState":
        """Build the model with the recipe's seed. Weights are drawn on the CPU, so all devices start with the same."""
        device = torch.device(device)
        torch.manual_seed(recipe.seed)
        model = build()
        remember = getattr(model, "remember_images", None)
        if remember is not None and recipe.augmentation == "none" and device.type == "cpu":
            remember()
        folded = fold(model) if recipe.optimizer == "adamw" else None
        model = to_device(model, recipe.precision, device)
        optimizer = _optimizer(model, recipe, folded.copies if folded else 1)
        if device.type == "cuda":
            for group in optimizer.param_groups:
                group["lr"] = torch.tensor(recipe.lr, device=device)
        order = torch.Generator().manual_seed(recipe.seed)
        return cls(model, optimizer, device, 0, _capture(order, device), identity, folded)

    def set_rate(self, rate: float, there: Tensor | None) -> None:
        """Set the learning rate of the next step: `rate` as a number, `there` as a tensor on the GPU."""
        for group in self.optimizer.param_groups:
            copies = group.get(COPIES, 1)
            if there is None:
                group["lr"] = rate * copies
            else:
                torch.mul(there, copies, out=group["lr"])
        if self.fold:
            self.fold.kept *= 1 - rate * self.optimizer.param_groups[0]["weight_decay"]

    def _unfold(self) -> None:
        assert self.fold is not None
        whole_again(self.model, self.fold)
        first = self.optimizer.param_groups[0]
        self.optimizer = AdamW(self.model.parameters(), first["lr"], weight_decay=first["weight_decay"], fused=True)
        self.fold = None

    def _lay_out_moments(self) -> None:
        """Give the moments the memory layout of the weights, because a fused step ignores strides."""
        for weight, kept in self.optimizer.state.items():
            for name, moment in kept.items():
                if moment.shape == weight.shape and moment.stride() != weight.stride():
                    kept[name] = torch.empty_like(weight, dtype=moment.dtype).copy_(moment)

    def save(self, path: Path) -> None:
        """Write a checkpoint atomically."""
        save_checkpoint(
            {
                "version": STATE_VERSION,
                "identity": self.identity,
                "epoch": self.epoch,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": self.random,
                "fold": self.fold and asdict(self.fold),
            },
            path,
        )

    def load(self, path: Path) -> None:
        """Load the state that the same model and recipe wrote to `path`.

        Training can resume from a state of version 1; `note` then says what differs.

        Raises:
            CheckpointError: If the file is damaged, or belongs to another model or version.
        """
        content = load_checkpoint(path)
        version = content.get("version")
        if version not in (1, STATE_VERSION):
            raise CheckpointError(
                f"{path} has state version {version}, but this program reads versions 1 to {STATE_VERSION}; "
                f"delete it to train from the start."
            )
        if content["identity"] not in {self.identity, *self.also}:
            raise _of_another(path, f"{content['identity']!r}, this is {self.identity!r}")
        if self.fold and not content.get("fold"):  # it started with the whole layer and continues with it
            self._unfold()
        rates = [group["lr"] for group in self.optimizer.param_groups]
        for group in content["optimizer"]["param_groups"]:
            group.update(fused=True, foreach=None)
        try:
            self.model.load_state_dict(content["model"])
            self.optimizer.load_state_dict(content["optimizer"])
            self._lay_out_moments()
        except (RuntimeError, ValueError, KeyError) as error:
            raise _of_another(path, (str(error).splitlines() or ["?"])[-1].strip()) from error
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = rate
        if self.fold:
            self.fold = Fold(**content["fold"])
        self.epoch = content["epoch"]
        self.random.update(content["random"])
        self.note = _SINCE_1.format(epoch=self.epoch) if version == 1 else None


def published_weights(path: Path, build: Callable[[], nn.Module], recipe: Recipe) -> dict[str, Tensor]:
    """Return the trained weights, by name, of the model that `build` returns, from the checkpoint at `path`.

    Raises:
        CheckpointError: If the file is damaged, or belongs to another model.
        FoldError: If the published layer cannot be recovered: the seed draws other weights here than in training.
    """
    torch.manual_seed(recipe.seed)
    model, content = build(), load_checkpoint(path)
    weights: dict[str, Tensor] = content["model"]
    if content.get("fold"):
        weights = unfold(weights, Fold(**content["fold"]), model)
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        raise _of_another(path, (str(error).splitlines() or ["?"])[-1].strip()) from error
    return weights


_SINCE_1 = (
    "The first {epoch} epochs were trained with version 0.1.0. Later epochs differ from that version in their last "
    "digits. Evaluation no longer takes random candidates from the draws of training. Even candidates are rounded as "
    "in the published runs."
)


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
    """Train from `state.epoch` to `recipe.epochs`. Between epochs, `state` is complete and may be saved.

    On the CPU, the same recipe, data and number of threads give the same numbers bit for bit, even after a resume.

    Args:
        state: Updated in place.
        recipe: How to train.
        train: Training images.
        val: Validation images, evaluated after every epoch, if given.
        test: Test images, evaluated likewise; pass them only if the protocol allows it.

    Yields:
        One result per epoch.

    Raises:
        Diverged: If a loss is not finite, in training or evaluation. `state` must not be used afterwards.
        ValueError: If the device does not support the recipe's precision.
    """
    set_precision(recipe.precision, state.device)
    fast: Any = torch.compile(state.model) if recipe.compile else state.model
    order = torch.Generator()
    while state.epoch < recipe.epochs:
        restore(state.random, order, state.device)
        if state.device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(state.device)
        start = time.monotonic()
        loss, accuracy = _train_epoch(fast, state, recipe, train, order)
        seconds = time.monotonic() - start
        val_loss, val_accuracy = evaluate(state.model, val, recipe) if val is not None else (None, None)
        test_loss, test_accuracy = evaluate(state.model, test, recipe) if test is not None else (None, None)
        for part, value in (("training", loss), ("validation", val_loss), ("test", test_loss)):
            if value is not None and not math.isfinite(value):
                raise Diverged(state.epoch + 1, None, value, f"the {part} loss")
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
    """Return the mean cross-entropy and the accuracy over all images of `data`, in evaluation mode.

    Random candidates are drawn from copies of torch's generators. The model's mode and every random state are restored,
    so evaluation does not change training.
    """
    mode, devices = model.training, [data.device] if data.device.type == "cuda" else []
    model.eval()
    loss = torch.zeros((), dtype=torch.float64, device=data.device)
    right = torch.zeros((), dtype=torch.int64, device=data.device)
    with torch.random.fork_rng(devices):
        for images, labels in data.iterate(torch.arange(len(data)), recipe.batch_size):
            with autocast(recipe.precision, data.device):
                logits = model(images)
            loss += F.cross_entropy(logits.float(), labels, reduction="sum")
            right += (logits.argmax(dim=-1) == labels).sum()
    model.train(mode)
    return loss.item() / len(data), right.item() / len(data)


def _train_epoch(
    fast: nn.Module, state: TrainState, recipe: Recipe, train: Batches, order: torch.Generator
) -> tuple[float, float]:
    """Train for one epoch. `fast` runs only on full batches.

    Compiling takes half a minute for each batch size, and again for evaluation.

    Nothing is read from a GPU before the end of the epoch. On the CPU, where this is free, every step is checked.
    """
    state.model.train()
    steps, device = math.ceil(len(train) / recipe.batch_size), state.device
    rates = [_learning_rate(recipe, state.epoch + step / steps) for step in range(steps)]
    there = torch.tensor(rates, device=device) if device.type == "cuda" else [None] * steps
    losses: list[Tensor] = []
    norms: list[Tensor] = []
    guesses: list[Tensor] = []
    chosen = torch.randperm(len(train), generator=order)
    augment = order if recipe.augmentation == "flip_shift" else None
    batches = train.iterate(chosen, recipe.batch_size, augment)
    for step, (images, labels) in enumerate(batches):
        with autocast(recipe.precision, device):
            logits = (fast if len(labels) == recipe.batch_size else state.model)(images)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=recipe.label_smoothing)
        state.optimizer.zero_grad(set_to_none=True)
        loss.backward()
        state.set_rate(rates[step], there[step])
        norms.append(state.optimizer.clipped_step(recipe.clip_norm))
        losses.append(loss.detach())
        guesses.append(logits.detach().argmax(dim=-1))
        if device.type == "cpu":
            _require_finite(loss.item(), norms[-1].item(), state.epoch + 1, step + 1)
    values = torch.stack(losses)
    for step, (loss_then, norm) in enumerate(zip(values.tolist(), torch.stack(norms).tolist(), strict=True), start=1):
        _require_finite(loss_then, norm, state.epoch + 1, step)
    total = math.fsum(value * len(guess) for value, guess in zip(values.tolist(), guesses, strict=True))
    right = (torch.cat(guesses) == train.labels[chosen.to(device)]).sum().item()
    return total / len(train), right / len(train)


def _require_finite(loss: float, norm: float, epoch: int, step: int) -> None:
    if not math.isfinite(loss):
        raise Diverged(epoch, step, loss)
    if not math.isfinite(norm):
        raise Diverged(epoch, step, norm, "the gradients' norm")


def _learning_rate(recipe: Recipe, epochs_done: float) -> float:
    if recipe.schedule == "constant":
        return recipe.lr
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * epochs_done / recipe.epochs))


def _optimizer(model: nn.Module, recipe: Recipe, copies: int = 1) -> Clipping:
    """Build the optimizer; `copies` is the number of copies in a folded first layer, see `convnn.folding`."""
    if recipe.optimizer == "sgd":
        return SGD(model.parameters(), recipe.lr, momentum=0.9, weight_decay=recipe.weight_decay, fused=True)
    groups: list[dict[str, Any]] = [{"params": list(model.parameters())}]
    if copies > 1:
        weight = folded_weight(model)
        groups = [{"params": [other for other in model.parameters() if other is not weight]}]
        groups.append({"params": [weight], "weight_decay": recipe.weight_decay / copies, COPIES: copies})
    return AdamW(groups, recipe.lr, weight_decay=recipe.weight_decay, fused=True)


def _capture(order: torch.Generator, device: torch.device) -> dict[str, Tensor]:
    states = {"order": order.get_state(), "cpu": torch.get_rng_state()}
    if device.type == "cuda":
        states["cuda"] = torch.cuda.get_rng_state(device)
    return states


def restore(states: dict[str, Tensor], order: torch.Generator, device: torch.device) -> None:
    """Restore torch's generators and that of the batch order to their states after an epoch."""
    order.set_state(states["order"])
    torch.set_rng_state(states["cpu"])
    if device.type == "cuda" and "cuda" in states:
        torch.cuda.set_rng_state(states["cuda"], device)
