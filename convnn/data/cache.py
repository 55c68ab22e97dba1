"""The cache of decoded data sets: one memory-mapped file per split and node, each with the digest of its content.

An entry is a folder that appears under its name only when it is complete: it is built beside, then renamed. One process
builds it while the others wait for a file lock. Each process that opens an entry reads it once and compares the digest
(0.1 s for CIFAR's 154 MB if the CPU has SHA-256 instructions, otherwise 0.4 s). So the images used for training are
the recorded ones.
"""

import hashlib
import json
import logging
import math
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from convnn.data.errors import DataError
from convnn.data.facts import DATASETS, FINDERS, SPLITS, DatasetFacts, Split
from convnn.data.parquet import Arrays
from convnn.data.sources import Source, find_source
from convnn.geometry import IMAGE_SIDE

LAYOUT = 2
"""Version of the entries' layout; a change creates new entries and does not touch old ones."""

_CONTENT = "images"  # all pixels, then all labels
_SHAPE = (IMAGE_SIDE, IMAGE_SIDE, 3)
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """Pixels `(N, 32, 32, 3)` uint8, memory-mapped, labels `(N,)` int64, and the SHA-256 of both."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]
    digest: str = ""

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """The opened splits of a data set, and its facts."""

    name: str
    splits: dict[Split, Images] = field(default_factory=dict)

    @property
    def train(self) -> Images:
        """The train split."""
        return self.splits["train"]

    @property
    def test(self) -> Images:
        """The test split."""
        return self.splits["test"]

    @property
    def digests(self) -> dict[Split, str]:
        """The digest of each split."""
        return {split: images.digest for split, images in self.splits.items()}

    @property
    def facts(self) -> DatasetFacts:
        """Classes and normalization constants."""
        return DATASETS[self.name]

    def joint_digest(self) -> str:
        """Return one digest of both splits, as version 0.1.0 recorded it."""
        sha = hashlib.sha256()
        for images in (self.train, self.test):
            sha.update(np.ascontiguousarray(images.pixels).data)
            sha.update(np.ascontiguousarray(images.labels, dtype="<i8").data)
        return sha.hexdigest()


def default_cache() -> Path:
    """Return `CONVNN_CACHE`, or `convnn` in the user's cache folder."""
    if given := os.environ.get("CONVNN_CACHE"):
        return Path(given).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convnn"


def load_dataset(
    name: str = "digits", root: str | None = None, cache: Path | None = None, *, splits: Sequence[Split] = SPLITS
) -> Dataset:
    """Open a data set. The first time on this node, decode it first.

    Args:
        name: `digits`, `cifar10` or `cifar100`.
        root: Folder of Parquet files, or of torchvision's files (downloaded if missing). `None`: the folder in
            CONVNN_DATA_ROOT, else `~/data`. `digits` needs no folder.
        cache: Folder of decoded data sets; `default_cache()` if `None`.
        splits: Splits to open. Other splits are not read or decoded, and may be missing.

    Raises:
        DataError: If the data set is unknown, missing or damaged, or the cache cannot be written.
    """
    if name not in DATASETS:
        raise DataError(f"data.name must be one of {', '.join(DATASETS)}, got {name!r}.")
    source, folder = find_source(name, root), cache or default_cache()
    return Dataset(name, {split: _load(name, split, source, folder) for split in splits})


def _load(name: str, split: Split, source: Source, folder: Path) -> Images:
    entry = folder / _entry_name(name, split, source)
    if (images := _open(entry)) is not None:
        return images
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            entry = folder / _entry_name(name, split, source)  # another process may have downloaded meanwhile
            if (images := _open(entry)) is not None:
                return images
            if entry.exists():
                _log.warning("%s is damaged; decoding it again from its source", entry)
            _log.info("decoding %s (%s) into %s (once per machine)", name, split, folder)
            arrays = source.read(split)
            _require_known(name, split, len(arrays[1]))
            entry = folder / _entry_name(name, split, source)  # the download changed what the source looks like
            _build(entry, arrays)
    except OSError as error:
        raise DataError(
            f"The cache of decoded images cannot be written to {folder}: {error.strerror or error}; free disk space or "
            f"grant access there, or set CONVNN_CACHE to another folder."
        ) from error
    images = _open(entry)
    if images is None:
        raise DataError(f"{entry} was damaged right after it was written; is the disk full or failing?")
    return images


def _require_known(name: str, split: Split, images: int) -> None:
    """Check that a data set matches its facts, because limits and batch sizes rely on them."""
    most = DATASETS[name].images(split)
    if images > most:
        way = "To use another data set, register it under its own name (convnn.data.register_dataset)."
        if name in FINDERS:
            way = f"If it is, its author must set {split}_images={images} in its facts, and raise config_version."
        raise DataError(
            f"{name} has at most {most} {split} images, but {images} were found; check that data.name is the data set "
            f"in this folder. {way}"
        )


def _entry_name(name: str, split: Split, source: Source) -> str:
    version = DATASETS[name].config_version
    suffix = "" if version is None else f"-config{version}"
    return f"{name}-{split}-{hashlib.sha256(source.fingerprint(split).encode()).hexdigest()[:16]}-v{LAYOUT}{suffix}"


def _build(entry: Path, arrays: Arrays) -> None:
    for old in entry.parent.glob(f"{entry.name}.*.partial"):  # left by a killed process; this process holds the lock
        shutil.rmtree(old, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".partial", dir=entry.parent))
    pixels, labels = arrays
    try:
        sha = hashlib.sha256()
        with (part / _CONTENT).open("wb") as stream:
            for array in (np.ascontiguousarray(pixels, dtype=np.uint8), np.ascontiguousarray(labels, dtype="<i8")):
                stream.write(array.data)
                sha.update(array.data)
            stream.flush()
            os.fsync(stream.fileno())
        (part / "meta.json").write_text(json.dumps({"digest": sha.hexdigest(), "images": len(labels)}))
        part.chmod(0o755)
        if entry.exists():  # damaged: _open refused it
            shutil.rmtree(entry)
        part.rename(entry)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _open(entry: Path) -> Images | None:
    """Open an entry; return `None` if it is missing or damaged."""
    try:
        meta = json.loads((entry / "meta.json").read_text())
        count, digest = int(meta["images"]), str(meta["digest"])
        with (entry / _CONTENT).open("rb") as stream:
            if hashlib.file_digest(stream, "sha256").hexdigest() != digest:
                return None
        content = np.memmap(entry / _CONTENT, dtype=np.uint8, mode="r")
        pixels = content[: count * math.prod(_SHAPE)].reshape(count, *_SHAPE)
        labels = content[pixels.size :].view("<i8")
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError, TypeError):
        return None
    return Images(pixels, np.array(labels, dtype=np.int64), digest) if len(labels) == count else None
