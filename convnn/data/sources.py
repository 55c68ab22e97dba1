"""Sources of images: scikit-learn's digits, torchvision's download, or a folder of Parquet files.

A source returns, for `train` and `test`, uint8 images `(N, 32, 32, 3)` and int64 labels `(N,)`.
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
"""Environment variable that overrides DEFAULT_ROOT."""
TEST_EVERY = 5
"""Every fifth image of each class in digits is in the test split."""
_EXTRACTED = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_ARCHIVES = {"cifar10": "cifar-10-python.tar.gz", "cifar100": "cifar-100-python.tar.gz"}


class Source(Protocol):
    """A place that contains a data set."""

    def fingerprint(self, split: Split) -> str:
        """Return a text that determines the cache entry's name.

        It must change when the split's files change. A data set of a package whose code returns other images has
        another `config_version`, which is also part of the name.
        """

    def read(self, split: Split) -> Arrays:
        """Decode one split completely, or raise a DataError."""


def data_folder(root: str | None) -> Path:
    """Return the folder `root`; without one, CONVNN_DATA_ROOT on the machine that reads the data, or DEFAULT_ROOT."""
    return Path(os.path.expandvars(root or os.environ.get(ROOT_VARIABLE) or DEFAULT_ROOT)).expanduser().absolute()


def find_source(name: str, root: str | None) -> Source:
    """Choose the source of data set `name` under the folder `root`.

    If the folder contains Parquet files, itself or in the Hub's layout below it, these are read. Any other folder is
    torchvision's root, or torchvision's own folder in it, and missing files are downloaded there. Without a `root`, the
    folder is CONVNN_DATA_ROOT on the machine that reads the data, or DEFAULT_ROOT.

    Raises:
        DataError: If the folder is a file.
    """
    if name in FINDERS:
        source: Source = FINDERS[name](root)
        return source
    if name == "digits":
        return Digits()
    folder = data_folder(root)
    if folder.exists() and not folder.is_dir():
        raise DataError(f"data.root must be a folder, but {folder} is a file; give the folder that contains {name}.")
    if found := Parquet.find(name, folder):
        return found
    extracted = folder.name == _EXTRACTED[name] and any(folder.glob("*"))
    return Torchvision(name, folder.parent if extracted else folder)


def not_here(name: str, root: str | None) -> str | None:
    """Say, without a final period, that data set `name` must first be downloaded here; `None` if it is available."""
    try:
        source = find_source(name, root)
    except DataError as error:
        return str(error).removesuffix(".")
    if not isinstance(source, Torchvision) or source.is_here():
        return None
    return f"{name} is not in {source.root} on this machine; the first trial downloads it, which needs network access"


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 real handwritten digits of 8 x 8 gray pixels, each enlarged to 4 x 4 RGB pixels.

    Every TEST_EVERYth image of each class is in the test split.
    """

    def fingerprint(self, split: Split) -> str:  # noqa: ARG002
        """Return a constant, because the images are part of scikit-learn."""
        return "digits"

    def read(self, split: Split) -> Arrays:
        """Return the images and labels of `split`."""
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
    """CIFAR in torchvision's own format, downloaded into `root` if it is missing."""

    name: str
    root: Path

    def is_here(self) -> bool:
        """Return whether its files exist, extracted or not."""
        return (self.root / _ARCHIVES[self.name]).exists() or any((self.root / _EXTRACTED[self.name]).glob("*"))

    def fingerprint(self, split: Split) -> str:  # noqa: ARG002 - torchvision checks all files for either
        """Return the paths, sizes and times of the extracted files."""
        return "\n".join(["torchvision", *stats(sorted((self.root / _EXTRACTED[self.name]).glob("*")))])

    def read(self, split: Split) -> Arrays:
        """Return the images and labels of `split`; download them if needed. torchvision checks its MD5 sums."""
        try:
            import torchvision

            kind = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[self.name]
            with contextlib.redirect_stderr(sys.__stderr__):  # its progress bar moves the terminal's cursor
                data = kind(str(self.root), train=split == "train", download=True)
        except OSError as error:  # no network (URLError), no permission, no space
            raise self._unavailable(error) from error
        except (RuntimeError, EOFError, ValueError, KeyError) as error:
            raise DataError(
                f"{self.name} in {self.root} is corrupt ({error}); delete {self.root / _EXTRACTED[self.name]} and the "
                f".tar.gz beside it, and run again to download it again."
            ) from error
        return np.ascontiguousarray(data.data), np.asarray(data.targets, dtype=np.int64)

    def _unavailable(self, error: OSError) -> DataError:
        if error.errno is not None and not isinstance(error, ConnectionError):
            return DataError(
                f"{self.name} cannot be stored in {self.root}: {error.strerror or error}; free disk space or grant "
                f"access there, or give another folder with data.root."
            )
        return DataError(
            f"{self.name} is not in {self.root} and cannot be downloaded ({error}); without a network, copy the data "
            f"set into a folder (Parquet files train-*.parquet and test-*.parquet, or torchvision's "
            f"{_EXTRACTED[self.name]}) and set data.root to it, or use data.name: digits."
        )
