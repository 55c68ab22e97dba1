"""A trained model as a folder: its weights, what makes it as plain data, and what its images and answers mean.

Nothing in it is code, and nothing is unpickled as code: `convnn` alone loads it. `model.json` names what makes the
model as `package.module:name` with its arguments; see `convnn.plugins.made`. MLflow loads such a folder with
`_load_pyfunc`.
Shapes: images uint8 `(N, 32, 32, 3)`, classes int64 `(N,)`.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
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
from convnn.plugins import LAYERS, is_made, made, packages
from convnn.plugins import MODELS as MODEL_PLUGINS

MODEL, WEIGHTS = "model.json", "weights.pt"
_BATCH = 256
_SHAPE = (IMAGE_SIDE, IMAGE_SIDE, 3)


@dataclass(frozen=True)
class Meaning:
    """What the images and answers of a model mean."""

    mean: tuple[float, float, float]
    """Of the pixels in [0, 1], per channel."""

    std: tuple[float, float, float]
    """The same."""

    classes: tuple[str, ...]
    """The names of the classes, by number; the number itself where a data set has no names."""

    seed: int
    """From which random candidates are drawn."""


def meaning_of(data: str, seed: int) -> Meaning:
    """Of a model that was trained on a data set with a seed."""
    facts = DATASETS[data]
    names = class_names(data) or tuple(str(number) for number in range(facts.classes))
    return Meaning(facts.mean, facts.std, names, seed)


@dataclass(frozen=True)
class Classifier:
    """A trained model that takes pictures as they are."""

    model: nn.Module = field(repr=False)
    """In evaluation mode, on the CPU; it takes normalised images, `(B, 3, 32, 32)`."""

    meaning: Meaning

    def predict(self, images: "Iterable[Image | NDArray[np.uint8] | Tensor]") -> Tensor:
        """The class of each image, `(N,)`.

        Computed in float32 on the model's device. The same images give the same classes: random candidates are drawn
        from the seed of training.

        Args:
            images: PIL images, or uint8 `(N, 32, 32, 3)`.

        Raises:
            ValueError: If the images are not of that size and type.
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
    """Write the model that `made(plain)()` gives with these weights to a folder; `load_classifier` reads it.

    Raises:
        OSError: If there is no room or no access.
    """
    save_checkpoint(dict(weights), folder / WEIGHTS)
    told = {"model": plain, **asdict(meaning)}
    (folder / MODEL).write_text(f"{json.dumps(told, indent=2)}\n", encoding="utf-8")


def digest_of(weights: Mapping[str, Tensor]) -> str:
    """The SHA-256 of weights with their names, whatever file they are in."""
    found = hashlib.sha256()
    for name, weight in sorted(weights.items()):
        plain = weight.detach().cpu().contiguous()
        found.update(f"{name} {plain.dtype} {tuple(plain.shape)}\n".encode())
        found.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return found.hexdigest()


def load_classifier(folder: str | Path) -> Classifier:
    """Read what `save_classifier` wrote.

    Raises:
        CheckpointError: If it is damaged, or makes its model with a package that adds no models.
    """
    folder = Path(folder)
    try:
        told = json.loads((folder / MODEL).read_text(encoding="utf-8"))
        _check_targets(told["model"])
        mean, std = (tuple(map(float, told[name])) for name in ("mean", "std"))
        meaning = Meaning(mean, std, tuple(map(str, told["classes"])), int(told["seed"]))  # type: ignore[arg-type]
        with torch.random.fork_rng([]):
            model = made(told["model"])()
        model.load_state_dict(load_checkpoint(folder / WEIGHTS))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, ImportError, RuntimeError) as error:
        raise CheckpointError(f"{folder} holds no model that can be loaded: {error}") from error
    return Classifier(model.eval(), meaning)


class _Pyfunc:
    """What MLflow calls."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier

    def predict(self, images: NDArray[np.uint8], params: dict[str, Any] | None = None) -> NDArray[np.int64]:
        """The class of each image, by number."""
        del params
        return self._classifier.predict(images).numpy()


def _load_pyfunc(path: str) -> _Pyfunc:
    """MLflow's way in."""
    return _Pyfunc(load_classifier(path))


def _check_targets(plain: Mapping[str, Any]) -> None:
    """A file may only name what `convnn` and packages that add models to it have.

    Raises:
        ValueError: If it names something else.
    """
    package = plain["target"].partition(":")[0].partition(".")[0]
    known = packages()
    if package not in known:
        raise ValueError(
            f"its model must be made by one of {', '.join(sorted(known))}, which are the installed packages that add "
            f"models (entry points of {MODEL_PLUGINS} and {LAYERS}), got {plain['target']}"
        )
    for value in plain["arguments"].values():
        if is_made(value):
            _check_targets(value)


def _pixels(images: Iterable[Any]) -> NDArray[np.uint8]:
    made_of = [np.asarray(image.convert("RGB") if isinstance(image, Image) else image) for image in images]
    for number, image in enumerate(made_of):
        if image.shape != _SHAPE or image.dtype != np.uint8:
            raise ValueError(
                f"each image must be uint8 of shape {_SHAPE}, got {image.dtype} of shape {image.shape} for image "
                f"{number}; resize images, and give several as a list or an array (N, 32, 32, 3)."
            )
    return np.stack(made_of) if made_of else np.empty((0, *_SHAPE), np.uint8)
