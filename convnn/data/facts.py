"""What is known of every data set before a file is opened."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class DatasetFacts:
    """Classes, images in each split, and the per-channel mean and deviation that normalise pixels in [0, 1]."""

    classes: int
    train_images: int
    test_images: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]


DATASETS = {
    # scikit-learn's digits are grey: one mean and one deviation, measured over its training images.
    "digits": DatasetFacts(10, 1442, 355, (0.3052, 0.3052, 0.3052), (0.3760, 0.3760, 0.3760)),
    # The constants of the published runs.
    "cifar10": DatasetFacts(10, 50_000, 10_000, (0.4914, 0.4822, 0.4465), (0.2470, 0.2435, 0.2616)),
    "cifar100": DatasetFacts(100, 50_000, 10_000, (0.5071, 0.4867, 0.4408), (0.2675, 0.2565, 0.2761)),
}

FINDERS: dict[str, Callable[[str | None], Any]] = {}
"""What finds the images of data sets that others have registered: a `convnn.data.sources.Source`, given `data.root`."""


def register_dataset(name: str, facts: DatasetFacts, find: Callable[[str | None], Any]) -> None:
    """Let configurations name another data set.

    Args:
        name: Its name.
        facts: What is known of it.
        find: Gives its `convnn.data.sources.Source` for a folder, or for `None` where the file names none.

    Raises:
        ValueError: If another data set has the name.
    """
    if name in DATASETS and (DATASETS[name], FINDERS.get(name)) != (facts, find):
        raise ValueError(f"there is a data set {name!r} already; choose another name.")
    DATASETS[name], FINDERS[name] = facts, find


def unregister_dataset(name: str) -> None:
    """Undo `register_dataset`."""
    if FINDERS.pop(name, None):
        del DATASETS[name]
