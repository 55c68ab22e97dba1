"""Images in folders: a class per subfolder, images of any size. Only what reads the images loads this module.

`python -m convnn_resnet.images FOLDER` prints the facts of a folder, for `convnn_resnet.settings`.
"""

import json
import sys
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from convnn.data.colors import mean_and_std
from convnn.data.errors import DataError
from convnn.data.facts import SPLITS, Split
from convnn.data.parquet import Arrays, first_line
from convnn.data.sources import data_folder
from convnn.geometry import IMAGE_SIDE
from convnn_resnet.settings import CLASSES

TEST_EVERY = 5
"""Without folders `train` and `test`, every fifth image of each class is in the test split."""

UNREADABLE = (OSError, ValueError, SyntaxError, Image.DecompressionBombError)
"""What Pillow raises for a damaged file, and for a file that is not an image."""


@dataclass(frozen=True)
class Folders:
    """A folder with a subfolder of images per class, or with such subfolders in its folders `train` and `test`.

    The order of files and classes is that of their names, so it is the same on all machines. Names that start with a
    dot, and files beside the subfolders, are ignored. Links are followed.
    """

    folder: Path
    classes: tuple[str, ...]
    """The names of the subfolders, by label."""

    def fingerprint(self, split: Split) -> str:
        """Return the name, size and modification time of each file."""
        found = ((path, path.stat()) for path, _ in self._files(split))
        lines = [f"{str(path)!r} {stat.st_size} {stat.st_mtime_ns}" for path, stat in found]
        return "\n".join([f"folders {self.classes}", *lines])

    def read(self, split: Split) -> Arrays:
        """Return the images and labels of a split.

        Raises:
            DataError: If the folder has other classes, or a file is not an image.
        """
        files = self._files(split)
        images = [_pixels(path) for path, _ in files]
        return np.stack(images), np.array([label for _, label in files], dtype=np.int64)

    def _files(self, split: Split) -> list[tuple[Path, int]]:
        """Return the files of a split and their labels."""
        parted = any((self.folder / name).is_dir() for name in SPLITS if name not in self.classes)
        place = self.folder / split if parted else self.folder
        _require_classes(place, self.classes)
        found: list[tuple[Path, int]] = []
        for label, name in enumerate(self.classes):
            files = _images(place / name)
            if not parted:
                last = TEST_EVERY - 1
                files = [file for n, file in enumerate(files) if (n % TEST_EVERY == last) == (split == "test")]
            if not files:
                least = 1 if parted else TEST_EVERY
                raise DataError(
                    f"each class must have at least {least} images, but {str(place / name)!r} has fewer; add images"
                    + ("." if parted else ", or make two folders, train and test, with a subfolder for each class.")
                )
            found += [(file, label) for file in files]
        return found


def shapes(root: str | None) -> Folders:
    """Return the source of the data set `shapes`.

    Args:
        root: `data.root` of the sweep file; if it is missing, the folder `shapes` in CONVNN_DATA_ROOT or in ~/data.
    """
    return folders(root, "shapes", CLASSES)


def folders(root: str | None, name: str, classes: Sequence[str]) -> Folders:
    """Return the images in a folder.

    Raises:
        DataError: If there is no such folder.
    """
    folder = data_folder(root) if root else data_folder(None) / name
    if not folder.is_dir():
        what = "is a file" if folder.exists() else "does not exist"
        raise DataError(
            f"the images of {name} must be in a folder, but {str(folder)!r} {what}; set data.root to the folder that "
            f"has a subfolder for each class: {', '.join(classes)}."
        )
    return Folders(folder, tuple(classes))


def class_names(place: Path) -> list[str]:
    """Return the names of the subfolders, in order."""
    return [path.name for path in _sorted(place) if path.is_dir()]


def _require_classes(place: Path, classes: tuple[str, ...]) -> None:
    there = class_names(place)
    missing, others = [name for name in classes if name not in there], [name for name in there if name not in classes]
    if missing or others:
        lacks = [f"there is no {', '.join(map(repr, missing))}"] if missing else []
        has = [f"there is also {', '.join(map(repr, others[:5]))}"] if others else []
        raise DataError(
            f"{str(place)!r} must have a subfolder for each class ({', '.join(classes)}), but "
            f"{' and '.join(lacks + has)}; give the right folder as data.root, or add a data set for these classes to "
            f"the package (its README)."
        )


def _images(place: Path) -> list[Path]:
    found = _sorted(place)
    for path in found:
        if not path.is_file():
            what = "is a folder" if path.is_dir() else "is a link to nothing"
            raise DataError(
                f"the folder of a class must have only images, but {str(path)!r} {what}; the images of a class must be "
                f"directly in its folder: FOLDER/CLASS/IMAGE, or FOLDER/train/CLASS/IMAGE and FOLDER/test/CLASS/IMAGE."
            )
    return found


def _sorted(place: Path) -> list[Path]:
    """Return the content of a folder; the order does not depend on the file system, or on how it stores accents."""
    try:
        seen = [path for path in place.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise DataError(f"the folder {str(place)!r} cannot be read ({error.strerror}); check it.") from error
    return sorted(seen, key=lambda path: (unicodedata.normalize("NFC", path.name), path.name))


def _pixels(path: Path) -> NDArray[np.uint8]:
    """Return an image as 32 x 32 RGB: upright, cut to a square at its center, on white where it is transparent."""
    try:
        with Image.open(path) as found:
            if found.mode.startswith(("I", "F")):
                raise DataError(
                    f"images must have 8 bits per color, but {str(path)!r} has more (mode {found.mode}); convert it, "
                    f"because its bright parts would be cut off."
                )
            image = ImageOps.exif_transpose(found).convert("RGBA")
    except UNREADABLE as error:
        raise DataError(
            f"the folder of a class must have only images, but {str(path)!r} cannot be read ({first_line(error)}); "
            f"replace it, or move it to another folder."
        ) from error
    white = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image).convert("RGB")
    return np.asarray(ImageOps.fit(white, (IMAGE_SIDE, IMAGE_SIDE), Image.Resampling.BICUBIC))


def described(folder: Path) -> Iterator[str]:
    """Yield the lines that describe a folder in `convnn_resnet.settings`."""
    inner = folder
    if (folder / "train").is_dir() and class_names(folder / "train"):
        if not (folder / "test").is_dir():
            raise DataError(
                f"the facts contain the number of test images, but {str(folder)!r} has the folder train without test; "
                f"add test, with a subfolder for each class."
            )
        inner = folder / "train"
    source = Folders(folder, tuple(class_names(inner)))
    if len(source.classes) < 2:  # noqa: PLR2004 - one class needs no model
        raise DataError(f"{str(inner)!r} must have at least two subfolders, one for each class; give another folder.")
    train, test = (source.read(split)[0] for split in SPLITS)
    mean, std = (tuple(round(float(each), 3) for each in found) for found in mean_and_std(train))
    yield f"    classes={len(source.classes)},"
    yield f"    train_images={len(train)},"
    yield f"    test_images={len(test)},"
    yield f"    mean={mean},"
    yield f"    std={std},"
    yield f"CLASSES = ({', '.join(map(json.dumps, source.classes))})"


if __name__ == "__main__":
    if len(sys.argv) != 2:  # noqa: PLR2004 - the program and one folder
        sys.exit("usage: python -m convnn_resnet.images FOLDER")
    try:
        print("\n".join(described(Path(sys.argv[1]))))
    except DataError as error:
        sys.exit(str(error))
