"""Where images come from: scikit-learn's digits, torchvision's download, or a folder of Parquet files.

A source gives, for `train` and `test`, uint8 images `(N, 32, 32, 3)` and int64 labels `(N,)`.
"""

import io
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from convnn.data.errors import DataError
from convnn.data.facts import DATASETS, FINDERS
from convnn.geometry import IMAGE_SIDE

Split = Literal["train", "test"]
Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]

DEFAULT_ROOT = "~/data"
TEST_EVERY = 5
"""Of digits, every fifth image of each class is the test split."""
_LABEL = {"cifar10": "label", "cifar100": "fine_label"}
_EXTRACTED = {"cifar10": "cifar-10-batches-py", "cifar100": "cifar-100-python"}
_SHARD = re.compile(r"(?P<split>train|test)-(?P<number>\d+)-of-(?P<total>\d+)\.parquet")


class Source(Protocol):
    """One place that holds a data set."""

    def fingerprint(self) -> str:
        """A text that changes when the files do; it names the cache entry."""

    def read(self, split: Split) -> Arrays:
        """Decode one split completely, or raise a DataError."""


def find_source(name: str, root: str | None) -> Source:
    """Choose the source of data set `name` under the folder `root`.

    A folder that holds Parquet files, itself or in a subfolder called `name`, is read as they are; any other is
    torchvision's, which downloads what is missing.

    Raises:
        DataError: If the Parquet files are incomplete, or `root` is given and is a file.
    """
    if name in FINDERS:
        source: Source = FINDERS[name](root)
        return source
    if name == "digits":
        return Digits()
    folder = Path(os.path.expandvars(root or DEFAULT_ROOT)).expanduser().absolute()
    if folder.exists() and not folder.is_dir():
        raise DataError(f"data.root must be a folder, {folder} is a file; give the folder that holds {name}.")
    for place in (folder, folder / name):
        if place.is_dir() and any(place.glob("*.parquet")):
            return Parquet.open(name, place)
    return Torchvision(name, folder)


@dataclass(frozen=True)
class Digits:
    """scikit-learn's 1,797 real handwritten digits of 8 x 8 grey pixels, each pixel shown as 4 x 4 RGB pixels.

    Every TEST_EVERYth image of each class is the test split.
    """

    def fingerprint(self) -> str:
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

    def fingerprint(self) -> str:
        """The folder and what the extracted files look like from outside."""
        return "\n".join(["torchvision", *_stats(sorted((self.root / _EXTRACTED[self.name]).glob("*")))])

    def read(self, split: Split) -> Arrays:
        """Images and labels of `split`; downloads at need, and torchvision checks its MD5 sums."""
        try:
            import torchvision

            kind = {"cifar10": torchvision.datasets.CIFAR10, "cifar100": torchvision.datasets.CIFAR100}[self.name]
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


@dataclass(frozen=True)
class Parquet:
    """CIFAR as Hugging Face Parquet shards, `train-00000-of-00002.parquet`: `img.bytes` and a label column."""

    name: str
    folder: Path
    shards: dict[str, tuple[Path, ...]]

    @classmethod
    def open(cls, name: str, folder: Path) -> "Parquet":
        """Find the shards of both splits in `folder`.

        Raises:
            DataError: If a split or one of its shards is missing.
        """
        found: dict[str, dict[int, Path]] = {"train": {}, "test": {}}
        totals: dict[str, int] = {}
        for path in sorted(folder.glob("*.parquet")):
            if match := _SHARD.fullmatch(path.name):
                found[match["split"]][int(match["number"])] = path
                totals[match["split"]] = max(totals.get(match["split"], 0), int(match["total"]))
        for split, files in found.items():
            total = totals.get(split, 0)
            missing = sorted(set(range(total)) - set(files)) if total else [0]
            if missing:
                shown = f"{split}-{missing[0]:05d}-of-{total or 1:05d}.parquet"
                raise DataError(f"{folder / shown} is missing; copy it there, so that {name} is complete.")
        return cls(name, folder, {split: tuple(files[i] for i in sorted(files)) for split, files in found.items()})

    def fingerprint(self) -> str:
        """The shards' paths, sizes and times."""
        return "\n".join(["parquet", self.name, *_stats([path for split in self.shards.values() for path in split])])

    def read(self, split: Split) -> Arrays:
        """Decode every shard of `split`."""
        images: list[NDArray[np.uint8]] = []
        labels: list[int] = []
        for path in self.shards[split]:
            for image, label in self._rows(path):
                images.append(image)
                labels.append(label)
        if not images:
            raise DataError(f"{self.shards[split][0]} holds no image; copy it again from its source.")
        return np.stack(images), np.asarray(labels, dtype=np.int64)

    def _rows(self, path: Path) -> Iterator[tuple[NDArray[np.uint8], int]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        column, classes = _LABEL[self.name], DATASETS[self.name].classes
        try:
            with pq.ParquetFile(path) as file:
                if not {"img", column} <= set(file.schema_arrow.names):
                    raise DataError(
                        f"{path} has the columns {', '.join(file.schema_arrow.names)}; {self.name} needs img and "
                        f"{column}: is data.name the data set that lies in this folder?"
                    )
                row = 0
                for batch in file.iter_batches(batch_size=1024, columns=["img", column]):
                    for image, label in zip(
                        batch.column("img").to_pylist(), batch.column(column).to_pylist(), strict=True
                    ):
                        if not 0 <= label < classes:
                            raise DataError(
                                f"{path}, row {row}: label {label} is not 0 to {classes - 1}; copy it again."
                            )
                        yield _decode(image["bytes"], path, row), label
                        row += 1
        except (pa.ArrowException, OSError, ValueError) as error:
            raise DataError(
                f"{path} cannot be read as Parquet ({_first_line(error)}): truncated or corrupt; copy it again."
            ) from error


def _decode(data: bytes | None, path: Path, row: int) -> NDArray[np.uint8]:
    from PIL import Image, UnidentifiedImageError

    try:
        with Image.open(io.BytesIO(data or b"")) as image:
            pixels = np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(
            f"{path}, row {row}: the image cannot be decoded ({_first_line(error)}); copy it again."
        ) from error
    if pixels.shape != (IMAGE_SIDE, IMAGE_SIDE, 3):
        raise DataError(f"{path}, row {row}: the image is {pixels.shape[1]} x {pixels.shape[0]}, not 32 x 32.")
    return pixels


def _stats(paths: list[Path]) -> list[str]:
    return [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths]


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
