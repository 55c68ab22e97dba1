import hashlib
import io
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image
from sklearn.datasets import load_digits

from convnn.data import DATASETS, DataError, limited, load_dataset, stratified_split
from convnn.data.batches import Batches, flip_and_shift

REAL = Path(__file__).parents[3] / "shared" / "cifar"


def pixels(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (count, 32, 32, 3), dtype=np.uint8)


def write_shard(path: Path, images: np.ndarray, labels: list[int], label: str = "label") -> None:
    rows = []
    for image in images:
        buffer = io.BytesIO()
        Image.fromarray(image).save(buffer, "webp", lossless=True)
        rows.append({"bytes": buffer.getvalue(), "path": None})
    pq.write_table(pa.table({"img": rows, label: labels}), path, row_group_size=7)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "my data"
    place.mkdir()
    for number in range(2):
        write_shard(place / f"train-0000{number}-of-00002.parquet", pixels(20, number), [i % 10 for i in range(20)])
    write_shard(place / "test-00000-of-00001.parquet", pixels(10, 2), list(range(10)))
    return place


def test_parquet_images_arrive_pixel_for_pixel(folder: Path, tmp_path: Path) -> None:
    data = load_dataset("cifar10", str(folder), tmp_path / "cache")
    assert np.array_equal(data.train.pixels, np.concatenate([pixels(20, 0), pixels(20, 1)]))
    assert np.array_equal(data.test.pixels, pixels(10, 2))
    assert data.train.labels.tolist() == [i % 10 for i in range(20)] * 2
    sha = hashlib.sha256()
    for split in (data.train, data.test):
        sha.update(split.pixels.tobytes())
        sha.update(split.labels.astype("<i8").tobytes())
    assert data.digest == sha.hexdigest()


def test_cifar100_takes_the_fine_labels(tmp_path: Path) -> None:
    for split in ("train", "test"):
        write_shard(tmp_path / f"{split}-00000-of-00001.parquet", pixels(3, 0), [0, 57, 99], label="fine_label")
    assert load_dataset("cifar100", str(tmp_path), tmp_path / "cache").test.labels.tolist() == [0, 57, 99]


def test_a_second_load_decodes_nothing_and_a_changed_file_is_decoded_anew(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load_dataset("cifar10", str(folder), cache)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    assert load_dataset("cifar10", str(folder), cache).digest == first.digest
    assert before == {path: path.stat().st_mtime_ns for path in cache.rglob("*.npy")}
    write_shard(folder / "test-00000-of-00001.parquet", pixels(10, 9), list(range(10)))
    assert load_dataset("cifar10", str(folder), cache).digest != first.digest


@pytest.mark.parametrize("file", ["meta.json", "train_pixels.npy", "test_labels.npy"])
def test_a_half_written_cache_is_never_used(folder: Path, tmp_path: Path, file: str) -> None:
    whole = load_dataset("cifar10", str(folder), tmp_path / "cache")
    expected = np.array(whole.train.pixels)  # a copy: the map itself sees the damage
    (damaged,) = (tmp_path / "cache").rglob(file)
    damaged.write_bytes(damaged.read_bytes()[:-9])
    again = load_dataset("cifar10", str(folder), tmp_path / "cache")
    assert np.array_equal(again.train.pixels, expected)
    assert again.digest == whole.digest


LOAD = """
import resource, signal, sys
from pathlib import Path
from convnn.data import DataError, load_dataset
if len(sys.argv) > 3:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # then a write beyond the limit fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    print(load_dataset("cifar10", sys.argv[1], Path(sys.argv[2])).digest)
except DataError as error:
    print(error)
"""


def load_elsewhere(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", LOAD, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_processes_that_start_together_decode_once_and_see_the_same(folder: Path, tmp_path: Path) -> None:
    processes = [load_elsewhere(folder, tmp_path / "c") for _ in range(3)]
    digests = {process.communicate(timeout=60)[0] for process in processes}
    assert digests == {load_dataset("cifar10", str(folder), tmp_path / "c").digest + "\n"}
    assert len(list((tmp_path / "c").glob("cifar10-*"))) == 1


def test_a_missing_shard_is_named(folder: Path, tmp_path: Path) -> None:
    (folder / "train-00001-of-00002.parquet").unlink()
    with pytest.raises(DataError, match=r"my data/train-00001-of-00002\.parquet is missing; copy it there"):
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
    with pytest.raises(DataError, match=r"cifar100 needs img and fine_label: is data.name the data set"):
        load_dataset("cifar100", str(folder), tmp_path / "cache")


@pytest.mark.usefixtures("expect_offline")
def test_without_a_network_the_way_out_is_told(tmp_path: Path) -> None:
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


def test_a_full_disk_leaves_no_half_entry_and_names_the_cache(folder: Path, tmp_path: Path) -> None:
    message, _ = load_elsewhere(folder, tmp_path / "c", 50_000).communicate(timeout=60)
    assert f"cannot be written to {tmp_path / 'c'}" in message
    assert not list((tmp_path / "c").glob("cifar10-*"))
    assert len(load_dataset("cifar10", str(folder), tmp_path / "c").train) == 40


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


labels_of = st.lists(st.integers(0, 4), min_size=30, max_size=200).map(lambda x: np.array([*range(5), *range(5), *x]))


@given(labels_of, st.floats(0.05, 0.4), st.integers(0, 9))
def test_a_split_is_stratified_and_uses_every_image_once(labels: np.ndarray, fraction: float, seed: int) -> None:
    train, held = stratified_split(labels, fraction, seed)
    assert np.array_equal(np.sort(np.concatenate([train, held])), np.arange(len(labels)))
    for label in range(5):
        size = (labels == label).sum()
        assert abs((labels[held] == label).sum() - size * fraction) <= 1
    assert np.array_equal(stratified_split(labels, fraction, seed)[1], held)


def test_another_seed_holds_out_other_images() -> None:
    labels = np.repeat(np.arange(3), 30)
    assert not np.array_equal(stratified_split(labels, 0.2, 0)[1], stratified_split(labels, 0.2, 1)[1])


@given(labels_of, st.integers(15, 60))
def test_a_limit_keeps_the_classes_in_proportion(labels: np.ndarray, limit: int) -> None:
    try:
        kept = limited(labels, limit)
    except DataError:
        return
    for label in range(5):
        expected = min(limit, len(labels)) * (labels == label).mean()
        assert abs((labels[kept] == label).sum() - expected) <= 1


def test_a_limit_below_two_images_a_class_is_refused() -> None:
    with pytest.raises(DataError, match=r"data.limit must leave every class two images, got 10 for 10 classes"):
        limited(np.repeat(np.arange(10), 9), 10)


def test_batches_are_normalised_with_the_data_sets_constants(folder: Path, tmp_path: Path) -> None:
    data = load_dataset("cifar10", str(folder), tmp_path / "cache")
    batches = Batches(data.train, np.array([3, 30, 7]), data.facts)
    (images, labels), (last, _) = batches.iterate(torch.tensor([2, 0, 1]), 2)
    mean, std = (np.array(x).reshape(3, 1, 1) for x in (data.facts.mean, data.facts.std))
    expected = (data.train.pixels[7].transpose(2, 0, 1) / 255 - mean) / std
    torch.testing.assert_close(images[0], torch.from_numpy(expected).float(), atol=1e-5, rtol=0)
    assert labels.tolist() == [data.train.labels[7], data.train.labels[3]]
    assert last.shape == (1, 3, 32, 32)


def test_augmentation_shifts_and_mirrors_whole_images() -> None:
    image = torch.zeros(64, 1, 32, 32)
    image[:, :, 16, 10] = 1.0
    spots = {tuple(spot[2:]) for spot in flip_and_shift(image, torch.Generator().manual_seed(0)).nonzero().tolist()}
    assert all(12 <= row <= 20 and (6 <= column <= 14 or 17 <= column <= 25) for row, column in spots)
    assert len(spots) > 30


if REAL.exists():  # beside a developer's checkout only

    @pytest.mark.parametrize(("name", "label"), [("cifar10", "label"), ("cifar100", "fine_label")])
    def test_the_real_images_are_read_as_pillow_reads_them(name: str, label: str, tmp_path: Path) -> None:
        shard = REAL / name / "test-00000-of-00001.parquet"
        for split in ("train", "test"):  # one real shard stands for both: decoding all of them takes a while
            shutil.copy(shard, tmp_path / f"{split}-00000-of-00001.parquet")
        data = load_dataset(name, str(tmp_path), tmp_path / "cache")
        rows = pq.read_table(shard).to_pylist()
        assert len(data.test) == len(rows) == 10_000
        for row in range(0, 10_000, 997):
            image = np.asarray(Image.open(io.BytesIO(rows[row]["img"]["bytes"])).convert("RGB"))
            assert np.array_equal(data.test.pixels[row], image)
            assert data.test.labels[row] == rows[row][label]
