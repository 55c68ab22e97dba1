"""One attempt at one configuration, without Ray: the plain arguments of `convnn` made from a TrialConfig.

Used by the Ray worker and by `convnn train` alike.
"""

import logging
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from convnn.data import Dataset, limited, load_dataset, stratified_split
from search_spaces import TrialConfig, run_key
from search_spaces.feasibility import mixer, share
from search_spaces.sweep import Holdout, Paper, Resources
from search_spaces.trial import VGG11, Training, ViTTiny

if TYPE_CHECKING:
    from torch import nn

    from convnn.data.batches import Batches
    from convnn.training import EpochResult, Recipe, TrainState

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Parts:
    """The images of one attempt, by role; `None` where the protocol has no such role."""

    train: "Batches"
    val: "Batches | None"
    test: "Batches | None"


def build_model(model: VGG11 | ViTTiny, classes: int) -> "nn.Module":
    """The model that the configuration describes."""
    options: dict[str, Any] = mixer(model).model_dump()
    kind = options.pop("kind")
    if candidates := options.pop("candidates", None):
        options |= {"candidates": candidates.pop("kind"), **candidates}
    settings = model.model_dump(exclude={"name", "layer", "attention"})
    if isinstance(model, ViTTiny):
        from convnn.models.vit import vit_tiny

        return vit_tiny(classes, kind, width=settings.pop("dim"), **settings, **options)
    from convnn.models.vgg import vgg11

    options.pop("lam", None)
    return vgg11(classes, share(model.layer), **settings, **options)


def build_recipe(training: Training) -> "Recipe":
    """The recipe that the configuration describes."""
    from convnn.training import Recipe

    return Recipe(**training.model_dump())


def build_parts(data: Dataset, limit: int | None, evaluation: Holdout | Paper, device: str) -> Parts:
    """Choose the images: `holdout` never opens the test split, `paper` holds nothing out."""
    from convnn.data.batches import Batches

    pool = limited(data.train.labels, limit)
    if isinstance(evaluation, Paper):
        test = limited(data.test.labels, limit)
        return Parts(Batches(data.train, pool, data.facts, device), None, Batches(data.test, test, data.facts, device))
    train, val = stratified_split(data.train.labels[pool], evaluation.fraction, evaluation.seed)
    return Parts(
        Batches(data.train, pool[train], data.facts, device), Batches(data.train, pool[val], data.facts, device), None
    )


def train(
    config: TrialConfig,
    evaluation: Holdout | Paper,
    *,
    device: str = "cpu",
    threads: int | None = None,
    checkpoint: Path | None = None,
    resume_from: Sequence[Path] = (),
    every_s: float = Resources().checkpoint_every_s,
    insurance: bool = False,
) -> "Iterator[EpochResult]":
    """Train one configuration, epoch by epoch.

    Args:
        config: What to train.
        evaluation: Which images decide.
        device: `cpu` or `cuda`.
        threads: CPU threads; torch's choice if `None`.
        checkpoint: Written at most every `every_s` seconds between epochs, and after the last; none if `None`.
        resume_from: Checkpoints to go on from; the first that is whole is taken, and it is no error if none is.
        every_s: See `checkpoint`.
        insurance: Whether checkpoints only guard against interruption: none follows the last epoch, and one that
            cannot be written is a warning.

    Raises:
        CheckpointError: If `checkpoint` is to be resumed from and is damaged, or is another configuration's.
        DataError: If the images cannot be read.
        Diverged: If a loss is not finite.
        ValueError: If the device is missing, or cannot train at the precision asked for.
    """
    import torch

    from convnn.training import TrainState, fit

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "resources.gpus_per_trial asks for a GPU and torch sees none here; install a CUDA build of torch, or set "
            "resources.gpus_per_trial: 0."
        )
    data = load_dataset(config.data.name, config.data.root)
    parts = build_parts(data, config.data.limit, evaluation, device)
    recipe = build_recipe(config.training)
    state = TrainState.create(lambda: build_model(config.model, data.facts.classes), recipe, device, run_key(config))
    _resume(state, resume_from, checkpoint)
    saved = time.monotonic()
    for result in fit(state, recipe, parts.train, val=parts.val, test=parts.test):
        yield result  # first, so that a checkpoint is never ahead of what its reader has recorded
        last = result.epoch == recipe.epochs
        if checkpoint is not None and (not insurance if last else time.monotonic() - saved >= every_s):
            _save(state, checkpoint, insurance=insurance)
            saved = time.monotonic()


def _save(state: "TrainState", checkpoint: Path, *, insurance: bool) -> None:
    try:
        state.save(checkpoint)
    except OSError as error:
        if not insurance:
            raise
        _log.warning("the checkpoint was not written, training goes on without: %s", error)


def _resume(state: "TrainState", checkpoints: Sequence[Path], target: Path | None) -> None:
    from convnn.checkpoint import CheckpointError

    for path in checkpoints:
        try:
            state.load(path)
        except FileNotFoundError:
            continue
        except CheckpointError as error:
            if path == target:  # it would be overwritten
                raise
            _log.warning("not resumed: %s", error)
            continue
        _log.info("resumed after epoch %d from %s", state.epoch, path)
        return
