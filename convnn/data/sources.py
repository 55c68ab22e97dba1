"""Where images come from: scikit-learn's digits, torchvision's download, or a folder of Parquet files.

A source gives, for `train` and `test`, uint8 images `(N, 32, 32, 3)` and int64 labels `(N,)`.
"""

import contextlib
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from convnn.data.errors import DataError
from convnn.data.facts import DATASETS, FINDERS, Split
from convnn.data.parquet import Arrays, Parquet, stats
from convnn.geometry import IMAGE_SIDE

DEFAULT_ROOT = "~/data"
ROOT_VARIABLE = "CONVNN_DATA_ROOT"
"""Names another default."""
TEST_EVERY = 5
"""Of digits, every fifth image of each class is the test split."""
_EXTRACTED = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_ARCHIVES = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


class Source(Protocol):
    """One place that holds a data set."""

    def fingerprint(self, split: Split) -> str:
        """A text that changes when the split's files do; it names the cache entry."""

    def read(self, split: Split) -> Arrays:
        """Decode one split completely, or raise a DataError."""


def find_source(name: str, root: str | None) -> Source:
    """Choose the source of data set `name` under the folder `root`.

    A folder that holds Parquet files, itself or as the Hub lays them out below it, is read as they are; any other is
    torchvision's, or torchvision's own folder within one, and what is missing there is downloaded. Without a `root` it
    is the folder that CONVNN_DATA_ROOT names on the machine that reads, else DEFAULT_ROOT.

    Raises:
        DataError: If `root` is given and is a file.
    """
    if name in FINDERS:
        source: Source = FINDERS[name](root)
        return source
    if name == "digits":
        return Digits()
    folder = Path(os.path.expandvars(root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"data.root must be a folder, {folder} is a file; give the folder that holds {name}.")
    if found := Parquet.find(name, folder):
        return found
    extracted = folder.name == _EXTRACTED[name] and any(folder.glob("*"))
    return Torchvision(name, folder.parent if extracted else folder)


def not_here(name: str, root: str | None) -> str | None:
    """In a sentence without its period, that data set `name` has to be downloaded to this machine first, if so."""
    try:
        source = find_source(name, root)
    except DataError as error:
        return str(error).removesuffix(".")
    if not isinstance(source, Torchvision) or source.is_here():
        return None
    return f"{name} is not in {source.root} on this machine; the first trial downloads it, which needs a network"


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 real handwritten digits of 8 x 8 grey pixels, each pixel shown as 4 x 4 RGB pixels.

    Every TEST_EVERYth image of each class is the test split.
    """

    def fingerprint(self, split: Split) -> str:  # noqa: ARG002
        """Constant: the images are part of scikit-learn."""
        return "digits"

    def read(self, split: Split) -> Arrays:
        """Images and labels of `split`."""
        from sklearn.datasets import load_digits

        digits = load_digits()
        labels = digits.target.astype(np.int64)
        place = np.zeros(len(labels), dtype=np.int64)  # the image's number within its class
        for label in range(DATASETS["digits"].classes):
            members = labels == label
            place[members] = np.arange(members.sum())
        chosen = (place % TEST_EVERY == TEST_EVERY - 1) == (split == "test")
        grey = np.rint(digits.images[chosen] * (255 / 16)).astype(np.uint8)
        scale = IMAGE_SIDE // grey.shape[-1]
        grey = grey.repeat(scale, axis=1).repeat(scale, axis=2)
        return np.repeat(grey[..., None], 3, axis=-1), labels[chosen]


@dataclass(frozen=True)
class Torchvision:
    """CIFAR in torchvision's own format, downloaded into `root` where it is missing."""

    name: str
    root: Path

    def is_here(self) -> bool:
        """Whether there are files of it, extracted or not."""
        return (self.root / _ARCHIVES[self.name]).exists() or any((self.root / _EXTRACTED[self.name]).glob("*"))

    def fingerprint(self, split: Split) -> str:  # noqa: ARG002 - torchvision checks all files for either
        """The folder and what the extracted files look like from outside."""
        return "\n".join(["torchvision", *stats(sorted((self.root / _EXTRACTED[self.name]).glob("*")))])

    def read(self, split: Split) -> Arrays:
        """Images and labels of `split`; downloads at need, and torchvision checks its MD5 sums."""
        try:
            import torchvision

            kind = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[self.name]
            with contextlib.redirect_stderr(sys.__stderr__):  # its bar of progress moves the terminal's cursor
                data = kind(str(self.root), train=split == "train", download=True)
        except OSError as error:  # no network (URLError), no permission, no space
            raise self._unavailable(error) from error
        except (RuntimeError, EOFError, ValueError, KeyError) as error:
            raise DataError(
                f"{self.name} in {self.root} is corrupt ({error}); delete {self.root / _EXTRACTED[self.name]} and the "
                f".tar.gz beside it, and run again to download them anew."
            ) from error
        return np.ascontiguousarray(data.data), np.asarray(data.targets, dtype=np.int64)

    def _unavailable(self, error: OSError) -> DataError:
        if error.errno is not None and not isinstance(error, ConnectionError):
            return DataError(
                f"{self.name} cannot be stored in {self.root}: {error.strerror or error}; make room or access there, "
                f"or give another folder with data.root."
            )
        return DataError(
            f"{self.name} is not in {self.root} and cannot be downloaded ({error}); without a network, copy the data "
            f"set into a folder (Parquet files train-*.parquet and test-*.parquet, or torchvision's "
            f"{_EXTRACTED[self.name]}) and name it with data.root, or use data.name: digits."
        )
