"""Load the trained models of a sweep from the checkpoints that it kept."""

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import torch
from torch import Tensor

from convnn.checkpoint import CheckpointError
from convnn.data import DATASETS
from convnn.folding import FoldError
from convnn.saved import Classifier, digest_of, meaning_of, save_classifier
from convnn.training import published_weights
from search_spaces import TrialConfig
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.record.folder import SweepFolder, epoch_of
from tune_jobs.results.history import history
from tune_jobs.results.opening import SweepResults, open_sweep
from tune_jobs.results.row import Row
from tune_jobs.worker.build import build_model, build_recipe


@dataclass(frozen=True)
class LoadedModel(Classifier):
    """A trained model, with the normalization of its images and the names of its classes."""

    config: TrialConfig = field(repr=False)
    trial: int
    epoch: int
    """The epoch of the checkpoint."""

    @property
    def mean(self) -> tuple[float, float, float]:
        """Mean of the pixels in [0, 1], per channel."""
        return self.meaning.mean

    @property
    def std(self) -> tuple[float, float, float]:
        """Standard deviation of the pixels in [0, 1], per channel."""
        return self.meaning.std

    @property
    def classes(self) -> tuple[str, ...]:
        """Names of the classes, by number; the number itself if the data set has no names."""
        return self.meaning.classes


def load_model(
    sweep: SweepResults | str | Path, trial: int | str | None = None, storage: str | Path | None = None
) -> LoadedModel:
    """Load the model of a trial whose checkpoint was kept (`resources.keep_best`).

    The weights have the names of the published model.

    Args:
        sweep: The outcome of a run, an opened sweep, or any argument that `open_sweep` accepts.
        trial: The trial's number or run key; `champion` for the champion of a finished confirmation; `None` for the
            best trial.
        storage: See `open_sweep`.

    Raises:
        UsageError: If the sweep or the trial does not exist, or none of its checkpoints was kept.
        SweepError: If the checkpoint cannot be used.
    """
    results = sweep if isinstance(sweep, SweepResults) else open_sweep(sweep, storage)
    row = results.best if trial is None else history(results.folder, str(trial)).row
    if row is None:
        raise UsageError(f"no trial of {results.folder.name} has a result yet.")
    path = kept_checkpoint(results.folder, row)
    weights = trained_weights(path, row.config)
    with torch.random.fork_rng([]):
        model = build_model(row.config.model, DATASETS[row.config.data.name].classes)
    model.load_state_dict(weights)
    return LoadedModel(
        model=model.eval(),
        meaning=meaning_of(row.config.data.name, row.config.training.seed),
        config=row.config,
        trial=row.number,
        epoch=epoch_of(path),
    )


def kept_checkpoint(folder: SweepFolder, row: Row) -> Path:
    """Return the newest checkpoint of a trial.

    Raises:
        UsageError: If none was kept.
    """
    kept = folder.checkpoints(row.run_key)
    if not kept:
        raise UsageError(
            f"trial {row.number} has no checkpoint: a sweep keeps the checkpoints of its resources.keep_best best "
            f"trials, and a confirmation those of the first seed of each configuration. To train it again: convnn show "
            f"{folder.name} {row.number} --yaml > it.yaml, then convnn train it.yaml --checkpoint it.pt"
        )
    return kept[0]


def trained_weights(checkpoint: Path, config: TrialConfig) -> dict[str, Tensor]:
    """Return the trained weights in a checkpoint of this configuration, under the names of the published model.

    Raises:
        SweepError: If the checkpoint is damaged or of another model, or the published weights cannot be computed.
    """
    build = partial(build_model, config.model, DATASETS[config.data.name].classes)
    try:
        with torch.random.fork_rng([]):  # building a model must not change the caller's random state
            return published_weights(checkpoint, build, build_recipe(config.training))
    except (CheckpointError, FoldError) as error:
        raise SweepError(str(error)) from error


def save_trained(folder: Path, checkpoint: Path, config: TrialConfig) -> str:
    """Save a checkpoint's model to a folder, for `convnn.saved.load_classifier`, and return a digest of its weights.

    Raises:
        OSError: If the disk is full or access is denied.
        SweepError: See `trained_weights`.
    """
    weights = trained_weights(checkpoint, config)
    plain = config.model.factory(DATASETS[config.data.name].classes).as_plain()
    save_classifier(folder, plain, weights, meaning_of(config.data.name, config.training.seed))
    return digest_of(weights)
