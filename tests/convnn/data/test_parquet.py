"""Image folders in common layouts are read, or rejected in one line that names the file, the row and the way out."""

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from convnn.data import DataError, load_dataset
from convnn.data.facts import class_names
from tests.convnn.data.shards import pixels

COUNT = 12
PIXELS = pixels(COUNT, 0)
NAMES = class_names("cifar10")
SHARD = "{split}-00000-of-00001.parquet"


def encoded(image: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(image).save(out, "PNG")
    return out.getvalue()


def write(
    root: Path,
    place: str = SHARD,
    labels: list[Any] | pa.Array | None = None,
    images: list[Any] | None = None,
    columns: tuple[str, str] = ("img", "label"),
) -> None:
    """Write both splits in the same way."""
    images = [{"bytes": encoded(image), "path": None} for image in PIXELS] if images is None else images
    labels = [*range(10), 0, 1] if labels is None else labels
    for split in ("train", "test"):
        file = root / place.format(split=split)
        file.parent.mkdir(parents=True, exist_ok=True)
        pq.write_table(pa.table({columns[0]: images, columns[1]: labels}), file)


def read(root: Path, tmp_path: Path, name: str = "cifar10") -> list[int]:
    """Check that the images are those that were written; return the labels."""
    data = load_dataset(name, str(root), tmp_path / "cache")
    assert np.array_equal(data.train.pixels, PIXELS)
    assert np.array_equal(data.test.pixels, PIXELS)
    labels: list[int] = data.test.labels.tolist()
    return labels


@pytest.mark.parametrize(
    "place",
    [
        SHARD,
        "cifar10/" + SHARD,
        "plain_text/" + SHARD,
        "data/{split}-00000-of-00001-abcdef0123456789.parquet",
        "plain_text/{split}/0000.parquet",
        "cifar10/data/{split}.parquet",
        "{split}.parquet",
        "{split}-0.parquet",
        "{split}_00.parquet",
        "{split}/0000.parquet",
    ],
)
def test_a_folder_is_found_in_any_layout(tmp_path: Path, place: str) -> None:
    write(tmp_path / "my data", place)
    assert read(tmp_path / "my data", tmp_path) == [*range(10), 0, 1]


@pytest.mark.parametrize(
    "labels",
    [
        [NAMES[i % 10] for i in range(COUNT)],
        pa.array([NAMES[i % 10] for i in range(COUNT)]).dictionary_encode(),
        [NAMES[i % 10].title() for i in range(COUNT)],
        [str(i % 10) for i in range(COUNT)],
        [float(i % 10) for i in range(COUNT)],
        pa.array([i % 10 for i in range(COUNT)], pa.uint8()),
    ],
)
def test_unambiguous_labels_are_read(tmp_path: Path, labels: list[Any]) -> None:
    write(tmp_path / "data", labels=labels)
    assert read(tmp_path / "data", tmp_path) == [i % 10 for i in range(COUNT)]


def with_one(label: object, others: object = 0) -> list[object]:
    """Return labels with an invalid one in row 7."""
    return [label if row == 7 else others for row in range(COUNT)]


@pytest.mark.parametrize(
    ("labels", "row", "shown"),
    [
        (with_one(None), 7, "null"),
        (with_one(2.5, 0.0), 7, "2.5"),
        (with_one(float("nan"), 0.0), 7, "NaN"),
        (with_one(10), 7, "10"),
        (with_one(-1), 7, "-1"),
        (with_one("aeroplane", "cat"), 7, '"aeroplane"'),
        (with_one("", "cat"), 7, '""'),
        ([True] * COUNT, 0, "true"),
        ([[1]] * COUNT, 0, "[1]"),
    ],
)
def test_an_invalid_label_is_reported_with_its_row(tmp_path: Path, labels: list[Any], row: int, shown: str) -> None:
    write(tmp_path / "data", labels=labels)
    with pytest.raises(DataError) as error:
        load_dataset("cifar10", str(tmp_path / "data"), tmp_path / "cache")
    said = str(error.value)
    assert f"-00000-of-00001.parquet, row {row}: label {shown} is neither 0 to 9 nor a class of cifar10; fix" in said
    assert "\n" not in said


def files(root: Path) -> list[str]:
    (root / "images").mkdir(parents=True)
    for number, image in enumerate(PIXELS):
        (root / "images" / f"{number}.png").write_bytes(encoded(image))
    return [f"images/{number}.png" for number in range(COUNT)]


@pytest.mark.parametrize(
    "make",
    [
        lambda _: [encoded(image) for image in PIXELS],
        lambda _: [image.tolist() for image in PIXELS],
        files,
        lambda root: [{"bytes": None, "path": path} for path in files(root)],
    ],
)
@pytest.mark.parametrize("columns", [("img", "label"), ("image", "label")])
def test_images_are_read_in_any_encoding(
    tmp_path: Path, make: Callable[[Path], list[Any]], columns: tuple[str, str]
) -> None:
    write(tmp_path / "data", images=make(tmp_path / "data"), columns=columns)
    read(tmp_path / "data", tmp_path)


@pytest.mark.parametrize(
    ("image", "said"),
    [
        (None, "row 0: the image is null"),
        ("../outside.png", "row 0: the image is the path '../outside.png', which is not in "),
        ("/etc/passwd", "row 0: the image is the path '/etc/passwd', which is not in "),
        ([[[0, 0, 256]]], "row 0: the image is a list, but not of 32 x 32 x 3 numbers from 0 to 255"),
        ([[[0, 0, 1]]], "row 0: the image is 1 x 1, not 32 x 32"),
        ([1, 2, 3], "row 0: the image is a list, but not of"),
        (b"no picture", "row 0: the image cannot be decoded"),
        (7, "row 0: the image is int"),
    ],
)
def test_an_invalid_image_is_reported_with_its_row(tmp_path: Path, image: object, said: str) -> None:
    (tmp_path / "outside.png").write_bytes(encoded(PIXELS[0]))
    write(tmp_path / "data", images=[image] * COUNT)
    with pytest.raises(DataError, match=said.replace("/", r"\/")):
        load_dataset("cifar10", str(tmp_path / "data"), tmp_path / "cache")


def test_a_git_lfs_pointer_is_distinguished_from_a_damaged_file(tmp_path: Path) -> None:
    for split in ("train", "test"):
        (tmp_path / SHARD.format(split=split)).write_text("version https://git-lfs.github.com/spec/v1\noid sha256:00\n")
    with pytest.raises(DataError, match=r"is a git-lfs pointer, not the file itself; run `git lfs pull` in "):
        load_dataset("cifar10", str(tmp_path), tmp_path / "cache")


def test_two_files_for_one_part_are_an_error(tmp_path: Path) -> None:
    write(tmp_path)
    write(tmp_path, "{split}-00000-of-00001-abcdef0123456789.parquet")
    with pytest.raises(DataError, match="are the same part of train; keep one of them"):
        load_dataset("cifar10", str(tmp_path), tmp_path / "cache")


def test_cifar100_is_read_by_either_column_name_and_not_confused_with_cifar10(tmp_path: Path) -> None:
    labels = [*range(10), 57, 99]
    for column in ("fine_label", "label"):
        write(tmp_path / column, labels=labels, columns=("img", column))
        assert read(tmp_path / column, tmp_path, "cifar100") == labels
    write(tmp_path / "ten")
    with pytest.raises(DataError, match=r"no label above 9: it is cifar10; set data\.name"):
        load_dataset("cifar100", str(tmp_path / "ten"), tmp_path / "cache")
    with pytest.raises(DataError, match=r"check that data\.name is the data set in this folder"):
        load_dataset("cifar10", str(tmp_path / "fine_label"), tmp_path / "cache")
