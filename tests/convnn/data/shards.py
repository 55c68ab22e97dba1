"""Small data sets as Parquet files, with known pixels."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

REAL = Path(__file__).parents[4] / "shared" / "cifar"
"""CIFAR-10 and CIFAR-100, if they are beside the checkout."""


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def write_shard(path: Path, images: np.ndarray, labels: list[int], label: str = "label") -> None:
    rows = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "webp", lossless=True)
        rows.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"img": rows, label: labels}), path, row_group_size=7)


def write_noise(folder: str) -> None:
    """Write noise in the form of CIFAR-10: 200 images for training, and 40 to test."""
    Path(folder).mkdir()
    for split, count in (("train", 200), ("test", 40)):
        write_shard(Path(folder) / f"{split}.parquet", pixels(count, count), [number % 10 for number in range(count)])
