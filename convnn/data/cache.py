"""A data set decoded once per node into memory-mapped arrays, with the digest of all its pixels and labels.

An entry is a folder that appears under its name only when it is complete: it is built beside, and renamed. One
process builds while the others wait at a file lock.
"""

import hashlib
import json
import logging
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from filelock import FileLock
from numpy.typing import NDArray

from convnn.data.errors import DataError
from convnn.data.facts import DATASETS, DatasetFacts
from convnn.data.parquet import Split
from convnn.data.sources import Source, find_source

LAYOUT = 1
"""Version of the entries' layout; a change makes new entries and leaves old ones alone."""

_SPLITS: tuple[Split, ...] = ("train", "test")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Images:
    """Pixels `(N, 32, 32, 3)` uint8, mapped from disk, and labels `(N,)` int64."""

    pixels: NDArray[np.uint8]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.labels)


@dataclass(frozen=True)
class Dataset:
    """A data set's two splits, its facts, and the SHA-256 of all pixels and labels."""

    name: str
    train: Images
    test: Images
    digest: str

    @property
    def facts(self) -> DatasetFacts:
        """Classes and normalisation constants."""
        return DATASETS[self.name]


def default_cache() -> Path:
    """`CONVNN_CACHE`, else `convnn` in the user's cache folder."""
    if given := os.environ.get("CONVNN_CACHE"):
        return Path(given).expanduser().absolute()
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "convnn"


def load_dataset(name: str = "digits", root: str | None = None, cache: Path | None = None) -> Dataset:
    """Open a data set, decoding it first where this node has not yet.

    Args:
        name: `digits`, `cifar10` or `cifar100`.
        root: Folder of Parquet files, or torchvision's (downloaded into it); `~/data` if `None`. `digits` needs none.
        cache: Folder of decoded data sets; `default_cache()` if `None`.

    Raises:
        DataError: If the data set is unknown, missing or damaged, or the cache cannot be written.
    """
    if name not in DATASETS:
        raise DataError(f"data.name must be one of {', '.join(DATASETS)}, got {name!r}.")
    source = find_source(name, root)
    folder = cache or default_cache()
    entry = folder / _entry_name(name, source)
    if (dataset := _open(name, entry)) is not None:
        return dataset
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with FileLock(folder / f"{name}.lock"):
            entry = folder / _entry_name(name, source)  # another process may have downloaded meanwhile
            if (dataset := _open(name, entry)) is not None:
                return dataset
            _log.info("decoding %s into %s (once per machine)", name, folder)
            arrays = {split: source.read(split) for split in _SPLITS}
            entry = folder / _entry_name(name, source)  # the download changed what the source looks like
            _build(entry, arrays)
    except OSError as error:
        raise DataError(
            f"The cache of decoded images cannot be written to {folder}: {error.strerror or error}; make room or "
            f"access there, or set CONVNN_CACHE to another folder."
        ) from error
    dataset = _open(name, entry)
    if dataset is None:
        raise DataError(f"{entry} was damaged right after it was written; is the disk full or failing?")
    return dataset


def _entry_name(name: str, source: Source) -> str:
    return f"{name}-{hashlib.sha256(source.fingerprint().encode()).hexdigest()[:16]}-v{LAYOUT}"


def _build(entry: Path, arrays: dict[Split, tuple[NDArray[np.uint8], NDArray[np.int64]]]) -> None:
    for old in entry.parent.glob(f"{entry.name}.*.partial"):  # left by a killed process; we hold the lock
        shutil.rmtree(old, ignore_errors=True)
    part = Path(tempfile.mkdtemp(prefix=f"{entry.name}.", suffix=".partial", dir=entry.parent))
    try:
        sha, sizes = hashlib.sha256(), {}
        for split, (pixels, labels) in arrays.items():
            for kind, array in (("pixels", pixels), ("labels", labels.astype("<i8"))):
                file = part / f"{split}_{kind}.npy"
                with file.open("wb") as stream:
                    np.save(stream, array)
                    stream.flush()
                    os.fsync(stream.fileno())
                sha.update(np.ascontiguousarray(array).data)
                sizes[file.name] = file.stat().st_size
        (part / "meta.json").write_text(json.dumps({"digest": sha.hexdigest(), "sizes": sizes}))
        part.chmod(0o755)
        if entry.exists():  # damaged: _open refused it
            shutil.rmtree(entry)
        part.rename(entry)
    finally:
        shutil.rmtree(part, ignore_errors=True)


def _open(name: str, entry: Path) -> Dataset | None:
    """The entry, or `None` if it is absent or not whole."""
    try:
        meta = json.loads((entry / "meta.json").read_text())
        if any((entry / file).stat().st_size != size for file, size in meta["sizes"].items()):
            return None
        splits = {
            split: Images(np.load(entry / f"{split}_pixels.npy", mmap_mode="r"), np.load(entry / f"{split}_labels.npy"))
            for split in _SPLITS
        }
        return Dataset(name, splits["train"], splits["test"], meta["digest"])
    except (FileNotFoundError, NotADirectoryError, ValueError, KeyError):
        return None
