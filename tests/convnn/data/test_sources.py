import hashlib
import io
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from convnn.data import DATASETS, DataError, load_dataset
from convnn.data.sources import Torchvision, find_source
from tests.convnn.data.shards import REAL, pixels, write_shard


def test_parquet_images_arrive_pixel_for_pixel(folder: Path, tmp_path: Path) -> None:
    data = load_dataset("cifar10", str(folder), tmp_path / "cache")
    assert np.array_equal(data.train.pixels, np.concatenate([pixels(20, 0), pixels(20, 1)]))
    assert np.array_equal(data.test.pixels, pixels(10, 2))
    assert data.train.labels.tolist() == [i % 10 for i in range(20)] * 2
    for split in (data.train, data.test):
        content = split.pixels.tobytes() + split.labels.astype("<i8").tobytes()
        assert split.digest == hashlib.sha256(content).hexdigest()


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-00000-of-00001.parquet", pixels(3, 0), [0, 57, 99], label="fine_label")
    assert load_dataset("cifar100", str(tmp_path), tmp_path / "cache").test.labels.tolist() == [0, 57, 99]


def test_a_missing_shard_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "train-00001-of-00002.parquet").unlink()
    words = r"my data/train-00001-of-00002\.parquet is missing, so cifar10 is incomplete; copy it there"
    with pytest.raises(DataError, match=words):
        load_dataset("cifar10", str(folder), tmp_path / "cache")


def test_a_truncated_file_is_named(folder: Path, tmp_path: Path) -> None:
    file = folder / "train-00001-of-00002.parquet"
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(DataError, match=r"train-00001-of-00002\.parquet cannot be read as Parquet .* copy it again"):
        load_dataset("cifar10", str(folder), tmp_path / "cache")


def test_a_corrupt_image_is_named_with_its_row(folder: Path, tmp_path: Path) -> None:
    table = pq.read_table(folder / "test-00000-of-00001.parquet").to_pylist()
    table[4]["img"]["bytes"] = table[4]["img"]["bytes"][:40]
    pq.write_table(pa.Table.from_pylist(table), folder / "test-00000-of-00001.parquet")
    with pytest.raises(DataError, match=r"test-00000-of-00001\.parquet, row 4: the image cannot be decoded"):
        load_dataset("cifar10", str(folder), tmp_path / "cache")


def test_the_other_cifar_in_the_folder_is_noticed(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"no column fine_label and no label above 9: it is cifar10; set data.name"):
        load_dataset("cifar100", str(folder), tmp_path / "cache")


@pytest.mark.usefixtures("expect_offline")
def test_without_a_network_the_message_names_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot be downloaded .* or use data.name: digits"):
        load_dataset("cifar10", str(tmp_path / "empty"), tmp_path / "cache")


def test_a_corrupt_download_is_named(tmp_path: Path) -> None:
    batches = tmp_path / "cifar-10-batches-py"
    batches.mkdir()
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"half an archive")
    os.environ["CONVNN_TEST_EXPECTS_OFFLINE"] = "1"
    try:
        with pytest.raises(DataError, match=r"cifar10 .*cifar-10-batches-py"):
            load_dataset("cifar10", str(tmp_path), tmp_path / "cache")
    finally:
        del os.environ["CONVNN_TEST_EXPECTS_OFFLINE"]


def test_digits_are_scikit_learns_own_images() -> None:
    data, original = load_dataset("digits"), load_digits()
    assert len(data.train) + len(data.test) == len(original.images)
    shown = np.concatenate([data.train.pixels, data.test.pixels])
    assert (shown[:, :, :, 0] == shown[:, :, :, 2]).all()
    small = {np.rint(image[::4, ::4, 0] / (255 / 16)).astype(int).tobytes() for image in shown}
    assert small == {image.astype(int).tobytes() for image in original.images}
    scaled = data.train.pixels / 255
    assert np.allclose(scaled.mean((0, 1, 2)), DATASETS["digits"].mean, atol=1e-3)
    assert np.allclose(scaled.std((0, 1, 2)), DATASETS["digits"].std, atol=1e-3)


if REAL.exists():  # available only beside a developer's checkout

    @pytest.mark.parametrize(("name", "label"), [("cifar10", "label"), ("cifar100", "fine_label")])
    def test_the_real_images_are_read_as_pillow_reads_them(name: str, label: str, tmp_path: Path) -> None:
        shard = REAL / name / "test-00000-of-00001.parquet"
        for split in ("train", "test"):  # one real shard for both splits, because decoding all takes a while
            shutil.copy(shard, tmp_path / f"{split}-00000-of-00001.parquet")
        data = load_dataset(name, str(tmp_path), tmp_path / "cache")
        rows = pq.read_table(shard).to_pylist()
        assert len(data.test) == len(rows) == 10_000
        for row in range(0, 10_000, 997):
            image = np.asarray(Image.open(io.BytesIO(rows[row]["img"]["bytes"])).convert("RGB"))
            assert np.array_equal(data.test.pixels[row], image)
            assert data.test.labels[row] == rows[row][label]


def test_without_a_root_the_environment_variable_applies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("CONVNN_DATA_ROOT", str(tmp_path / "my images"))
    assert find_source("cifar10", None) == Torchvision("cifar10", tmp_path / "my images")
    assert find_source("cifar10", str(tmp_path / "others")) == Torchvision("cifar10", tmp_path / "others")
    monkeypatch.setenv("CONVNN_DATA_ROOT", "")
    assert find_source("cifar10", None) == Torchvision("cifar10", tmp_path / "home" / "data")
