"""CIFAR in folders of Parquet files, in the layout of the Hugging Face Hub and in other common layouts."""

import io
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from convnn.data.errors import DataError
from convnn.data.facts import DATASETS, SPLITS, Split, class_names
from convnn.geometry import IMAGE_SIDE

Arrays = tuple[NDArray[np.uint8], NDArray[np.int64]]
Image = NDArray[np.uint8]

_BELOW = ("", "{name}", "plain_text", "data", "{name}/data", "{name}/plain_text", "{name}/{name}")
"""Possible places of the files below the given folder."""

_SHARD = re.compile(r"(?P<split>train|test)(?:[-_](?P<number>\d+))?(?:-of-(?P<total>\d+))?(?:-[0-9a-f]{8,})?\.parquet")
_NUMBERED = re.compile(r"(?P<number>\d+)\.parquet")
_IMAGES = ("img", "image")
_LABELS = {"cifar10": ("label",), "cifar100": ("fine_label", "label")}
_LFS = b"version https://git-lfs"
_SIDES = (IMAGE_SIDE, IMAGE_SIDE, 3)


@dataclass(frozen=True)
class Parquet:
    """A data set's files in a folder."""

    name: str
    folder: Path

    @classmethod
    def find(cls, name: str, folder: Path) -> "Parquet | None":
        """Find Parquet files in `folder`, or below it in the Hub's layout; return `None` if there are none."""
        for below in dict.fromkeys(form.format(name=name) for form in _BELOW):
            place = folder / below
            if any(place.glob("*.parquet")) or any(any((place / split).glob("*.parquet")) for split in SPLITS):
                return cls(name, place)
        return None

    def fingerprint(self, split: Split) -> str:
        """Return the files' paths, sizes and times.

        Raises:
            DataError: If the split or one of its files is missing or duplicated.
        """
        return "\n".join(["parquet", self.name, *stats(_shards(self.name, self.folder, split))])

    def read(self, split: Split) -> Arrays:
        """Decode every file of `split`.

        Raises:
            DataError: On one line: the file, the row, the problem and what to do.
        """
        images: list[Image] = []
        labels: list[int] = []
        first, *_ = shards = _shards(self.name, self.folder, split)
        for path in shards:
            for image, label in self._rows(path):
                images.append(image)
                labels.append(label)
        if not images:
            raise DataError(f"{first} contains no images; copy it again from its source.")
        if self.name == "cifar100" and max(labels) < DATASETS["cifar10"].classes and not _is_fine(first):
            raise DataError(
                f"{first} has no column fine_label and no label above {max(labels)}: it is cifar10; set data.name."
            )
        return np.stack(images), np.asarray(labels, dtype=np.int64)

    def _rows(self, path: Path) -> Iterator[tuple[Image, int]]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        try:
            with pq.ParquetFile(path) as file:
                image, label = self._columns(path, file.schema_arrow.names)
                row = 0
                for batch in file.iter_batches(batch_size=1024, columns=[image, label]):
                    for pixels, said in zip(
                        batch.column(image).to_pylist(), batch.column(label).to_pylist(), strict=True
                    ):
                        where = f"{path}, row {row}"
                        yield _image(pixels, self.folder, where), _label(said, self.name, where)
                        row += 1
        except (pa.ArrowException, OSError, ValueError) as error:
            if _is_pointer(path):
                raise DataError(
                    f"{path} is a git-lfs pointer, not the file itself; run `git lfs pull` in {self.folder}."
                ) from error
            raise DataError(
                f"{path} cannot be read as Parquet ({first_line(error)}): truncated or corrupt; copy it again."
            ) from error

    def _columns(self, path: Path, there: list[str]) -> tuple[str, str]:
        image = next((name for name in _IMAGES if name in there), None)
        label = next((name for name in _LABELS[self.name] if name in there), None)
        if image is None or label is None or (self.name == "cifar10" and "fine_label" in there):
            raise DataError(
                f"{path} has the columns {', '.join(there)}; {self.name} needs {' or '.join(_IMAGES)} and "
                f"{_LABELS[self.name][0]}; check that data.name is the data set in this folder."
            )
        return image, label


def _is_fine(path: Path) -> bool:
    import pyarrow.parquet as pq

    return "fine_label" in pq.read_schema(path).names


def _shards(name: str, place: Path, split: Split) -> tuple[Path, ...]:
    """Return the files of a split, in order."""
    found: dict[int, Path] = {}
    total = 0
    matches = [(path, _SHARD.fullmatch(path.name)) for path in sorted(place.glob("*.parquet"))]
    matches = [(path, match) for path, match in matches if match and match["split"] == split]
    matches += [(path, _NUMBERED.fullmatch(path.name)) for path in sorted((place / split).glob("*.parquet"))]
    for path, match in matches:
        if match is None:
            continue
        fields = match.groupdict()
        number = int(fields["number"] or 0)
        if number in found:
            raise DataError(f"{found[number]} and {path.name} are the same part of {split}; keep one of them.")
        found[number] = path
        total = max(total, int(fields.get("total") or 0))
    missing = sorted(set(range(max(total, max(found, default=0) + 1))) - set(found))
    if missing:
        shown = f"{split}-{missing[0]:05d}-of-{max(total, 1):05d}.parquet"
        raise DataError(f"{place / shown} is missing, so {name} is incomplete; copy it there.")
    return tuple(found[number] for number in sorted(found))


def _label(said: object, name: str, where: str) -> int:
    """Return the class of a label, which is a number or a name."""
    classes, names = DATASETS[name].classes, class_names(name)
    number: int | None = None
    if isinstance(said, str):
        word = said.strip().lower().replace(" ", "_")
        number = names.index(word) if word in names else int(word) if word.isdecimal() else None
    elif isinstance(said, int | float) and not isinstance(said, bool) and said == said // 1:
        number = int(said)
    if number is None or not 0 <= number < classes:
        shown = "null" if said is None else json.dumps(said, default=str)[:40]
        raise DataError(
            f"{where}: label {shown} is neither 0 to {classes - 1} nor a class of {name}; fix the file, or copy it "
            f"again."
        )
    return number


def _image(said: Any, folder: Path, where: str) -> Image:  # noqa: ANN401 - any value of a Parquet file
    """Return the pixels of an image, which is encoded, a path to a file, or a list of numbers."""
    if isinstance(said, dict):
        data, path = said.get("bytes"), said.get("path")
        said = path if data is None else data
    if isinstance(said, str):
        said = _file(said, folder, where)
    if isinstance(said, list):
        pixels = _numbers(said, where)
    elif isinstance(said, bytes):
        pixels = _decode(said, where)
    else:
        raise DataError(f"{where}: the image is {'null' if said is None else type(said).__name__}; copy it again.")
    if pixels.shape != _SIDES:
        raise DataError(f"{where}: the image is {pixels.shape[1]} x {pixels.shape[0]}, not 32 x 32.")
    return pixels


def _file(path: str, folder: Path, where: str) -> bytes:
    """Read a file in the data set's folder; files outside are never opened."""
    file = (folder / path).resolve()
    if not file.is_relative_to(folder.resolve()) or not file.is_file():
        raise DataError(
            f"{where}: the image is the path {path[:80]!r}, which is not in {folder}; copy the images there."
        )
    return file.read_bytes()


def _numbers(said: list[Any], where: str) -> Image:
    try:
        pixels = np.asarray(said)
    except ValueError:
        pixels = np.asarray([], dtype=object)
    whole = pixels.ndim == len(_SIDES) and pixels.shape[2] == _SIDES[2] and pixels.dtype.kind in "iu"
    if not whole or pixels.min() < 0 or pixels.max() > 255:  # noqa: PLR2004 - a byte
        raise DataError(f"{where}: the image is a list, but not of 32 x 32 x 3 numbers from 0 to 255.")
    return pixels.astype(np.uint8)


def _decode(data: bytes, where: str) -> Image:
    from PIL import Image as Images
    from PIL import UnidentifiedImageError

    try:
        with Images.open(io.BytesIO(data)) as image:
            return np.asarray(image.convert("RGB"))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise DataError(f"{where}: the image cannot be decoded ({first_line(error)}); copy it again.") from error


def _is_pointer(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(_LFS)) == _LFS
    except OSError:
        return False


def stats(paths: Iterable[Path]) -> list[str]:
    """Return the path, size and modification time of each file."""
    return [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths]


def first_line(error: Exception) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or [type(error).__name__])[0]
