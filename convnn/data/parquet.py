"""CIFAR in folders of Parquet files, as the Hugging Face Hub lays them out and as people store them."""

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
"""Where files may be below the folder that is named."""

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
        """Those in `folder`, or below it as the Hub has them; `None` if there is no Parquet file."""
        for below in dict.fromkeys(form.format(name=name) for form in _BELOW):
            place = folder / below
            if any(place.glob("*.parquet")) or any(any((place / split).glob("*.parquet")) for split in SPLITS):
                return cls(name, place)
        return None

    def fingerprint(self, split: Split) -> str:
        """The files' paths, sizes and times.

        Raises:
            DataError: If the split or one of its files is missing, or there twice.
        """
        return "\n".join(["parquet", self.name, *stats(_shards(self.name, self.folder, split))])

    def read(self, split: Split) -> Arrays:
        """Decode every file of `split`.

        Raises:
            DataError: In one line: which file, which row, what was found and what to do.
        """
        images: list[Image] = []
        labels: list[int] = []
        first, *_ = shards = _shards(self.name, self.folder, split)
        for path in shards:
            for image, label in self._rows(path):
                images.append(image)
                labels.append(label)
        if not images:
            raise DataError(f"{first} holds no image; copy it again from its source.")
        if self.name == "cifar100" and max(labels) < DATASETS["cifar10"].classes and not _is_fine(first):
            raise DataError(
                f"{first} has no column fine_label, and no label above {max(labels)}: that is cifar10; set data.name."
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
                    f"{path} is a pointer of git-lfs and not the file itself; run `git lfs pull` in {self.folder}."
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
                f"{_LABELS[self.name][0]}: is data.name the data set that lies in this folder?"
            )
        return image, label


def _is_fine(path: Path) -> bool:
    import pyarrow.parquet as pq

    return "fine_label" in pq.read_schema(path).names


def _shards(name: str, place: Path, split: Split) -> tuple[Path, ...]:
    """The files of a split, in order."""
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
        raise DataError(f"{place / shown} is missing; copy it there, so that {name} is complete.")
    return tuple(found[number] for number in sorted(found))


def _label(said: object, name: str, where: str) -> int:
    """The class that a label names: by its number, or by its name."""
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
            f"{where}: label {shown} is not 0 to {classes - 1}, nor a class of {name}; mend the file, or copy it again."
        )
    return number


def _image(said: Any, folder: Path, where: str) -> Image:  # noqa: ANN401 - whatever a Parquet file holds
    """The pixels of an image: encoded, as a file beside, or as numbers."""
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
    """A file that lies in the folder of the data set; nothing outside of it is opened."""
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
        raise DataError(f"{where}: the image is a list, and not one of 32 x 32 x 3 numbers from 0 to 255.")
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
    """What files look like from outside."""
    return [f"{path} {path.stat().st_size} {path.stat().st_mtime_ns}" for path in paths]


def first_line(error: Exception) -> str:
    """What an error says, in one line."""
    return (str(error).splitlines() or [type(error).__name__])[0]
