"""One attempt at one configuration, without Ray.

Both the Ray worker and `convnn train` use it.
"""

import logging
import traceback
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from convnn.data import load_dataset
from search_spaces import TrialConfig, run_key
from search_spaces.settings import Holdout, Paper
from tune_jobs.worker.build import Parts, build_model, build_parts, build_recipe
from tune_jobs.worker.checkpoints import Checkpoints, InSweep, Only
from tune_jobs.worker.environment import environment_here
from tune_jobs.worker.reports import EpochDone, Report, ResumedFrom
from tune_jobs.worker.task import Task

if TYPE_CHECKING:
    from convnn.training import EpochResult, Recipe, TrainState

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Prepared:
    """An attempt that is ready to train."""

    state: "TrainState"
    recipe: "Recipe"
    parts: Parts


def prepare(
    config: TrialConfig,
    evaluation: Holdout | Paper,
    *,
    device: str = "cpu",
    threads: int | None = None,
    checkpoints: Checkpoints | None = None,
    key: str | None = None,
    also: Collection[str] = (),
) -> Prepared:
    """Load the images, and the state from which training starts or resumes; see `train`.

    Only states of the run `key`, or of a run in `also`, are accepted.
    """
    import torch

    from convnn.training import TrainState

    if threads is not None:
        torch.set_num_threads(threads)
    if device == "cuda" and not torch.cuda.is_available():
        raise ValueError(
            "device is cuda (or resources.gpus_per_trial above 0), but torch finds no GPU here; install a CUDA build "
            "of torch, or train on the CPU: resources.gpus_per_trial: 0."
        )
    data = load_dataset(config.data.name, config.data.root, splits=evaluation.opens)
    parts = build_parts(data, config.data.limit, evaluation, device)
    recipe = build_recipe(config.training)
    state = _start(
        lambda: TrainState.create(
            lambda: build_model(config.model, data.facts.classes), recipe, device, key or run_key(config)
        ),
        checkpoints,
        also,
    )
    return Prepared(state, recipe, parts)


def train(
    config: TrialConfig,
    evaluation: Holdout | Paper,
    *,
    device: str = "cpu",
    threads: int | None = None,
    checkpoints: Checkpoints | None = None,
    also: Collection[str] = (),
) -> "Iterator[EpochResult]":
    """Train one configuration, epoch by epoch.

    Args:
        config: What to train.
        evaluation: Which images the objective is measured on.
        device: `cpu` or `cuda`.
        threads: CPU threads; torch's choice if `None`.
        checkpoints: Where to resume from and where to save states; nowhere if `None`.
        also: Keys of the same run that earlier versions may have used in its states.

    Raises:
        CheckpointError: If a checkpoint cannot be used, and `checkpoints` does not skip it.
        DataError: If the images cannot be read.
        Diverged: If a loss is not finite.
        ValueError: If the device is missing, or cannot train at the requested precision.
    """
    prepared = prepare(config, evaluation, device=device, threads=threads, checkpoints=checkpoints, also=also)
    yield from _epochs(prepared, checkpoints, lambda: False)


def train_task(task: Task) -> Iterator[Report]:
    """Train a task, epoch by epoch; see `tune_jobs.worker.entrypoint.Objective`."""
    checkpoints = InSweep(task.folder, task.resume_from, task.checkpoint_every_s, keep_last=task.keep_last)
    prepared = _prepare_task(task, checkpoints)
    yield _origin(task, prepared, checkpoints.note)
    for result in _epochs(prepared, checkpoints, task.stop_file.exists):
        size = _size(task.config) if result.epoch == 1 else {}
        yield EpochDone(result.epoch, result.metrics() | size)


def evaluate_task(task: Task) -> Iterator[Report]:
    """Evaluate a task's newest checkpoint as training did after that epoch. Does not train.

    Raises:
        CheckpointError: If the checkpoint cannot be used.
    """
    import torch

    from convnn.training import evaluate, restore

    prepared = _prepare_task(task, Only(task.resume_from[0]))
    state, parts = prepared.state, prepared.parts
    yield _origin(task, prepared, state.note)
    restore(state.random, torch.Generator(), state.device)
    metrics = {}
    for part, images in (("val", parts.val), ("test", parts.test)):
        if images is not None:
            metrics[f"{part}/loss"], metrics[f"{part}/accuracy"] = evaluate(state.model, images, prepared.recipe)
    yield EpochDone(state.epoch, metrics)


def _prepare_task(task: Task, checkpoints: Checkpoints) -> Prepared:
    return prepare(
        task.config,
        task.evaluation,
        device=task.device,
        threads=task.threads,
        checkpoints=checkpoints,
        key=task.run_key,  # as recorded: this version may derive another key from the configuration
    )


def _origin(task: Task, prepared: Prepared, note: str | None) -> ResumedFrom:
    return ResumedFrom(prepared.state.epoch, note, _name_of(task.device), environment_here())


def _epochs(
    prepared: Prepared, checkpoints: Checkpoints | None, stopping: Callable[[], bool]
) -> "Iterator[EpochResult]":
    """Train. If `stopping` returns true after an epoch, save the state and end."""
    from convnn.training import fit

    state, recipe, parts = prepared.state, prepared.recipe, prepared.parts
    for result in fit(state, recipe, parts.train, val=parts.val, test=parts.test):
        yield result  # first, so that a checkpoint is never ahead of the recorded epochs
        last, stop = result.epoch == recipe.epochs, stopping()
        if checkpoints is not None and (checkpoints.due(last=last) or (stop and not last)):
            checkpoints.save(state)
        if stop:
            return


def _size(config: TrialConfig) -> dict[str, float]:
    """Measure the model's size. The worker does it, because torch is loaded here; the driver may not load torch."""
    from tune_jobs.worker.sizing import size_of

    try:
        return size_of(config)
    except Exception:  # noqa: BLE001 - a trial must not fail because its size is unknown
        traceback.print_exc()
        return {}


def _name_of(device: str) -> str:
    import torch

    return torch.cuda.get_device_name() if device == "cuda" else device


def _start(create: "Callable[[], TrainState]", checkpoints: Checkpoints | None, also: Collection[str]) -> "TrainState":
    """Return the state of the first usable source, else a new state."""
    from convnn.checkpoint import CheckpointError

    state = create()
    if checkpoints is None:
        return state
    for path in checkpoints.sources():
        state.also = frozenset(also)
        try:
            state.load(path)
        except FileNotFoundError:
            continue
        except (CheckpointError, OSError) as error:  # a disk error may affect a single file
            checkpoints.damaged(path, error)
            state = create()  # the failed load may have changed it
            continue
        _log.info("resumed after epoch %d from %s", state.epoch, path)
        break
    checkpoints.resumed(state.note)
    return state
