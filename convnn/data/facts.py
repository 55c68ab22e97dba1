"""Facts about every data set that are known before a file is opened."""

import contextlib
import functools
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal, get_args

from convnn.plugins import named

Split = Literal["train", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
_COLORS = 3


@dataclass(frozen=True)
class DatasetFacts:
    """Classes, images per split, and the per-channel mean and standard deviation for normalizing pixels in [0, 1].

    A plugin's facts also name the source of its images.
    """

    classes: int
    train_images: int
    test_images: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    source: str | None = None
    """A function from `data.root` to a `convnn.data.sources.Source`: `package.module:name`, imported at first use."""

    config_version: int | None = None
    """The version of a plugin's data set, part of the keys of its trials. Raise it when the images change."""

    def images(self, split: Split) -> int:
        """Return the number of images in a split; a folder may contain fewer."""
        return self.train_images if split == "train" else self.test_images


DATASETS = {
    # scikit-learn's digits are gray: one mean and one standard deviation, measured over the training images.
    "digits": DatasetFacts(10, 1442, 355, (0.3052, 0.3052, 0.3052), (0.3760, 0.3760, 0.3760)),
    # The constants of the published runs.
    "cifar10": DatasetFacts(10, 50_000, 10_000, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": DatasetFacts(100, 50_000, 10_000, (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}

_CLASS_NAMES = {
    "cifar10": "airplane automobile bird cat deer dog frog horse ship truck",
    "cifar100": (
        "apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly "
        "camel can castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup "
        "dinosaur dolphin elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower "
        "leopard lion lizard lobster man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid "
        "otter palm_tree pear pickup_truck pine_tree plain plate poppy porcupine possum rabbit raccoon ray "
        "road rocket rose sea seal shark shrew skunk skyscraper snail snake spider squirrel streetcar "
        "sunflower sweet_pepper table tank telephone television tiger tractor train trout tulip turtle "
        "wardrobe whale willow_tree wolf woman worm"
    ),
}


@functools.cache
def class_names(name: str) -> tuple[str, ...]:
    """Return the class names of a data set, by number; empty if they are not known."""
    return tuple(_CLASS_NAMES.get(name, "").split())


FINDERS: dict[str, Callable[[str | None], Any]] = {}
"""For each registered data set, a function from `data.root` to a `convnn.data.sources.Source`."""


def register_dataset(name: str, facts: DatasetFacts, find: Callable[[str | None], Any] | None = None) -> None:
    """Register another data set, so that configurations can use it.

    Args:
        name: Its name.
        facts: Its facts.
        find: Returns its `convnn.data.sources.Source` for a folder, or for `None` if the file names no folder.
            If `find` is `None`, `facts.source` names this function.

    Raises:
        TypeError: If both `find` and `facts.source` are missing.
        ValueError: If another data set already has the name, or mean or std cannot be those of pixels in [0, 1].
    """
    _require_colors(facts)
    if find is None:
        if facts.source is None:
            raise TypeError(f"the data set {name!r} must name the source of its images: DatasetFacts(source=...).")
        find = Found(facts.source)
    if name in DATASETS and (DATASETS[name], FINDERS.get(name)) != (facts, find):
        raise ValueError(f"the name {name!r} is already used by another data set; choose another name.")
    DATASETS[name], FINDERS[name] = facts, find


def _require_colors(facts: DatasetFacts) -> None:
    if len(facts.mean) != _COLORS or not all(0 <= number <= 1 for number in facts.mean):
        raise ValueError(f"mean must be three numbers from 0 to 1, for pixels divided by 255, got {facts.mean}.")
    if len(facts.std) != _COLORS or not all(0 < number <= 1 for number in facts.std):
        raise ValueError(f"std must be three numbers above 0, at most 1, for pixels divided by 255, got {facts.std}.")


@dataclass(frozen=True)
class Found:
    """A function that imports `package.module:name` at the first call and calls it."""

    target: str

    def __call__(self, root: str | None) -> Any:  # noqa: ANN401 - a Source, which needs numpy
        """Return the source for a folder."""
        return named(self.target)(root)


def module_of(name: str) -> str | None:
    """Return the module of the source of a registered data set; `None` for a built-in data set."""
    find = FINDERS.get(name)
    return find.target.partition(":")[0] if isinstance(find, Found) else getattr(find, "__module__", None)


def unregister_dataset(name: str) -> None:
    """Remove a registered data set."""
    if FINDERS.pop(name, None):
        del DATASETS[name]


@contextlib.contextmanager
def registered_dataset(
    name: str, facts: DatasetFacts, find: Callable[[str | None], Any] | None = None
) -> Iterator[None]:
    """Register a data set inside the `with` block; see `register_dataset`."""
    register_dataset(name, facts, find)
    try:
        yield
    finally:
        unregister_dataset(name)
