"""The models that a sweep has trained, from the checkpoints that it keeps."""

from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn

from convnn.checkpoint import CheckpointError
from convnn.data import DATASETS, Images
from convnn.data.batches import Batches
from convnn.data.facts import class_names
from convnn.folding import FoldError
from convnn.geometry import IMAGE_SIDE
from convnn.training import published_weights
from search_spaces import TrialConfig
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.record.folder import SweepFolder, epoch_of
from tune_jobs.results.opening import SweepResults, open_sweep
from tune_jobs.results.row import Row
from tune_jobs.worker.build import build_model, build_recipe

_BATCH = 256
_SHAPE = (IMAGE_SIDE, IMAGE_SIDE, 3)


@dataclass(frozen=True)
class LoadedModel:
    """A trained model, and what its images and answers mean."""

    model: nn.Module = field(repr=False)
    """In evaluation mode, on the CPU; it takes normalised images, `(B, 3, 32, 32)`."""

    mean: tuple[float, float, float]
    """Of the pixels in [0, 1], per channel."""

    std: tuple[float, float, float]
    """The same."""

    classes: tuple[str, ...]
    """The names of the classes, by number; the number itself where a data set has no names."""

    config: TrialConfig = field(repr=False)
    trial: int
    epoch: int
    """After which the weights were kept."""

    def predict(self, images: "Iterable[Image | NDArray[np.uint8] | Tensor]") -> Tensor:
        """The class of each image, `(N,)`.

        Computed in float32 on the model's device. The same images give the same classes: random candidates are drawn
        from the trial's seed.

        Args:
            images: PIL images, or uint8 `(N, 32, 32, 3)`.

        Raises:
            ValueError: If the images are not of that size and type.
        """
        pixels = _pixels(images)
        device = next(self.model.parameters()).device
        facts, numbers = DATASETS[self.config.data.name], np.arange(len(pixels))
        batches = Batches(Images(pixels, numbers), numbers, facts, device)
        with torch.inference_mode(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(self.config.training.seed)
            logits = [self.model(batch) for batch, _ in batches.iterate(torch.from_numpy(numbers), _BATCH)]
        return torch.cat(logits).argmax(dim=-1).cpu()


def load_model(
    sweep: SweepResults | str | Path, trial: int | str | None = None, storage: str | Path | None = None
) -> LoadedModel:
    """Load the model of a trial whose checkpoint was kept (`resources.keep_best`).

    Its weights are those of the published model, by name.

    Args:
        sweep: The outcome of a run, an opened sweep, or what `open_sweep` takes.
        trial: Its number or run key; the best one if `None`.
        storage: See `open_sweep`.

    Raises:
        UsageError: If there is no such sweep or trial, or no checkpoint of it was kept.
        SweepError: If the checkpoint cannot be used.
    """
    results = sweep if isinstance(sweep, SweepResults) else open_sweep(sweep, storage)
    row = results.best if trial is None else results.summary.trial(str(trial))
    if row is None:
        raise UsageError(f"no trial of {results.folder.name} has a result yet.")
    path, data = kept_checkpoint(results.folder, row), row.config.data.name
    facts = DATASETS[data]
    with torch.random.fork_rng([]):
        weights = trained_weights(path, row.config)
        model = build_model(row.config.model, facts.classes)
    model.load_state_dict(weights)
    return LoadedModel(
        model=model.eval(),
        mean=facts.mean,
        std=facts.std,
        classes=class_names(data) or tuple(str(number) for number in range(facts.classes)),
        config=row.config,
        trial=row.number,
        epoch=epoch_of(path),
    )


def kept_checkpoint(folder: SweepFolder, row: Row) -> Path:
    """The newest checkpoint of a trial.

    Raises:
        UsageError: If none was kept.
    """
    kept = folder.checkpoints(row.run_key)
    if not kept:
        raise UsageError(
            f"trial {row.number} has no checkpoint: a sweep keeps only those of its resources.keep_best best trials. "
            f"To train it again: convnn show {folder.name} {row.number} --yaml > it.yaml, then convnn train it.yaml "
            f"--checkpoint it.pt"
        )
    return kept[0]


def trained_weights(checkpoint: Path, config: TrialConfig) -> dict[str, Tensor]:
    """The weights of the published model, by name, as a checkpoint of this configuration has trained them.

    Raises:
        SweepError: If the checkpoint is damaged or of another model, or the published weights cannot be told.
    """
    build = partial(build_model, config.model, DATASETS[config.data.name].classes)
    try:
        return published_weights(checkpoint, build, build_recipe(config.training))
    except (CheckpointError, FoldError) as error:
        raise SweepError(str(error)) from error


def _pixels(images: Iterable[Any]) -> NDArray[np.uint8]:
    made = [np.asarray(image.convert("RGB") if isinstance(image, Image) else image) for image in images]
    for number, image in enumerate(made):
        if image.shape != _SHAPE or image.dtype != np.uint8:
            raise ValueError(
                f"each image must be uint8 of shape {_SHAPE}, got {image.dtype} of shape {image.shape} for image "
                f"{number}; resize images, and give several as a list or an array (N, 32, 32, 3)."
            )
    return np.stack(made) if made else np.empty((0, *_SHAPE), np.uint8)
