"""A trained model as a folder: its weights, its builder as plain data, and the meaning of its inputs and outputs.

The folder contains no code, and loading never unpickles code: `convnn` alone loads it. `model.json` names the model's
builder as `package.module:name` with its arguments; see `convnn.plugins.made`. MLflow loads such a folder with
`_load_pyfunc`.
Shapes: images uint8 `(N, 32, 32, 3)`, classes int64 `(N,)`.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL.Image import Image
from torch import Tensor, nn

from convnn.checkpoint import CheckpointError, load_checkpoint, save_checkpoint
from convnn.data import DATASETS, Images
from convnn.data.batches import Batches
from convnn.data.facts import DatasetFacts, class_names
from convnn.geometry import IMAGE_SIDE
from convnn.plugins import LAYERS, made, named, packages
from convnn.plugins import MODELS as MODEL_PLUGINS

MODEL, WEIGHTS = "model.json", "weights.pt"
_OURS, _BUILDERS = "convnn", "convnn.models."
_BATCH = 256
_SHAPE = (IMAGE_SIDE, IMAGE_SIDE, 3)


@dataclass(frozen=True)
class Meaning:
    """The meaning of a model's inputs and outputs."""

    mean: tuple[float, float, float]
    """Mean of the pixels in [0, 1], per channel."""

    std: tuple[float, float, float]
    """Standard deviation of the pixels in [0, 1], per channel."""

    classes: tuple[str, ...]
    """The names of the classes, by number; the number itself if a data set has no names."""

    seed: int
    """Seed of random candidates."""


def meaning_of(data: str, seed: int) -> Meaning:
    """Return the meaning for a model that was trained on a data set with a seed."""
    facts = DATASETS[data]
    names = class_names(data) or tuple(str(number) for number in range(facts.classes))
    return Meaning(facts.mean, facts.std, names, seed)


@dataclass(frozen=True)
class Classifier:
    """A trained model that takes unnormalized images."""

    model: nn.Module = field(repr=False)
    """The model in evaluation mode, on the CPU; it takes normalized images, `(B, 3, 32, 32)`."""

    meaning: Meaning

    def predict(self, images: "Iterable[Image | NDArray[np.uint8] | Tensor]") -> Tensor:
        """Return the class of each image, `(N,)`.

        It is computed in float32 on the model's device. The same images always give the same classes: random candidates
        are drawn with the seed of training.

        Args:
            images: PIL images, or uint8 `(N, 32, 32, 3)`.

        Raises:
            ValueError: If the images do not have that size and type.
        """
        pixels, meaning = _pixels(images), self.meaning
        device = next(self.model.parameters()).device
        facts, numbers = DatasetFacts(len(meaning.classes), 0, 0, meaning.mean, meaning.std), np.arange(len(pixels))
        batches = Batches(Images(pixels, numbers), numbers, facts, device)
        with torch.inference_mode(), torch.random.fork_rng([device] if device.type == "cuda" else []):
            torch.manual_seed(meaning.seed)
            logits = [self.model(batch) for batch, _ in batches.iterate(torch.from_numpy(numbers), _BATCH)]
        return torch.cat(logits).argmax(dim=-1).cpu() if logits else torch.empty(0, dtype=torch.int64)


def save_classifier(folder: Path, plain: Mapping[str, Any], weights: Mapping[str, Tensor], meaning: Meaning) -> None:
    """Write the model `made(plain)()` with these weights to a folder; `load_classifier` reads it.

    Raises:
        OSError: If the disk is full or not writable.
    """
    save_checkpoint(dict(weights), folder / WEIGHTS)
    told = {"model": plain, **asdict(meaning)}
    (folder / MODEL).write_text(f"{json.dumps(told, indent=2)}\n", encoding="utf-8")


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """Return the SHA-256 of weights with their names, independent of the file format."""
    found = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        plain = weight.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load_classifier(folder: str | Path) -> Classifier:
    """Read a model that `save_classifier` wrote.

    Raises:
        CheckpointError: If it is damaged, or its builder is in a package that does not add models.
    """
    folder = Path(folder)
    try:
        told = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        for target in _targets(told["model"]):
            _require_builder(target)
        mean, std = (tuple(map(float, told[name])) for name in ("mean", "std"))
        meaning = Meaning(mean, std, tuple(map(str, told["classes"])), int(told["seed"]))  # type: ignore[arg-type]
        with torch.random.fork_rng([]):
            model = made(told["model"])()
        model.load_state_dict(load_checkpoint(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"{folder} does not contain a model that can be loaded: {error}") from error
    return Classifier(model.eval(), meaning)


class _Pyfunc:
    """The model in MLflow's pyfunc interface."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def predict(self, images: NDArray[np.uint8], params: dict[str, Any] | None = None) -> NDArray[np.int64]:
        """Return the class of each image, by number."""
        del params
        return self._classifier.predict(images).numpy()


def _load_pyfunc(path: str) -> _Pyfunc:
    """Load a model for MLflow."""
    return _Pyfunc(load_classifier(path))


def _targets(plain: object) -> Iterator[str]:
    """Yield every text in plain data that may name a callable: each `target` with a colon, however deep."""
    if isinstance(plain, dict):
        target = plain.get("target")
        if isinstance(target, str) and ":" in target:
            yield target
        plain = list(plain.values())
    if isinstance(plain, list):
        for value in plain:
            yield from _targets(value)


def _require_builder(target: str) -> None:
    """Check that a target is a module of torch, or builds one, and is in `convnn` or a package that adds models to it.

    Raises:
        ValueError: If it is not.
    """
    known = packages()
    if _top(target.partition(":")[0]) not in known:
        raise ValueError(
            f"its model must be built by one of {', '.join(sorted(known))}, the installed packages that add models "
            f"(entry points of {MODEL_PLUGINS} and {LAYERS}), got {target}"
        )
    found = named(target)
    while isinstance(found, partial):
        found = found.func
    if isinstance(found, type) and issubclass(found, nn.Module):
        return
    home = str(getattr(found, "__module__", None) or type(found).__name__)
    if _top(home) not in known or (_top(home) == _OURS and not home.startswith(_BUILDERS)):
        raise ValueError(
            "its model must be built by a torch module, or by a function of a plugin or of convnn.models, "
            f"got {target}, which is from {home}"
        )


def _top(module: str) -> str:
    return module.partition(".")[0]


def _pixels(images: Iterable[Any]) -> NDArray[np.uint8]:
    made_of = [np.asarray(image.convert("RGB") if isinstance(image, Image) else image) for image in images]
    for number, image in enumerate(made_of):
        if image.shape != _SHAPE or image.dtype != np.uint8:
            raise ValueError(
                f"each image must be uint8 of shape {_SHAPE}, got {image.dtype} of shape {image.shape} for image "
                f"{number}; resize the images, and pass several as a list or an array (N, 32, 32, 3)."
            )
    return np.stack(made_of) if made_of else np.empty((0, *_SHAPE), np.uint8)
