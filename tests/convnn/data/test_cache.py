import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convnn.data import DataError, Dataset, load_dataset
from tests.convnn.data.shards import pixels, write_shard


def load(folder: Path, cache: Path) -> Dataset:
    return load_dataset("cifar10", str(folder), cache)


def test_a_second_load_decodes_nothing_and_a_changed_file_is_decoded_again(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    first = load(folder, cache)
    before = {path: path.stat().st_mtime_ns for path in cache.rglob("images")}
    assert len(before) == len(first.splits)
    assert load(folder, cache).digests == first.digests
    assert before == {path: path.stat().st_mtime_ns for path in cache.rglob("images")}
    write_shard(folder / "test-00000-of-00001.parquet", pixels(10, 9), list(range(10)))
    changed = load(folder, cache)
    assert changed.train.digest == first.train.digest
    assert changed.test.digest != first.test.digest


def cut(content: bytes) -> bytes:
    return content[:-9]


def zeroed(content: bytes) -> bytes:
    return content[: len(content) // 2] + bytes(len(content) - len(content) // 2)


@pytest.mark.parametrize("file", ["meta.json", "images"])
@pytest.mark.parametrize("damage", [cut, zeroed])
def test_a_damaged_cache_is_never_used(
    folder: Path, tmp_path: Path, file: str, damage: Callable[[bytes], bytes]
) -> None:
    whole = load(folder, tmp_path / "cache")
    expected = {split: (np.array(images.pixels), images.labels) for split, images in whole.splits.items()}  # copies
    for damaged in (tmp_path / "cache").rglob(file):
        damaged.write_bytes(damage(damaged.read_bytes()))
    again = load(folder, tmp_path / "cache")
    assert again.digests == whole.digests
    for split, (seen, labels) in expected.items():
        assert np.array_equal(again.splits[split].pixels, seen)
        assert np.array_equal(again.splits[split].labels, labels)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(place=st.floats(0, 1, exclude_max=True), bits=st.integers(1, 255))
def test_one_changed_byte_is_noticed_and_decoded_again(
    folder: Path, tmp_path: Path, place: float, bits: int, caplog: pytest.LogCaptureFixture
) -> None:
    cache = tmp_path / "cache"
    before = load(folder, cache)
    (file,) = cache.glob("cifar10-train-*/images")
    content, stat = bytearray(file.read_bytes()), file.stat()
    content[int(place * len(content))] ^= bits
    file.write_bytes(content)
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    caplog.clear()
    assert load(folder, cache).digests == before.digests
    assert f"{file.parent} is damaged; decoding it again from its source" in caplog.text
    assert bytes(content) != file.read_bytes()


def test_a_damaged_cache_without_its_source_is_not_used_for_training(folder: Path, tmp_path: Path) -> None:
    load(folder, tmp_path / "cache")
    (file,) = (tmp_path / "cache").glob("cifar10-train-*/images")
    file.write_bytes(zeroed(file.read_bytes()))
    shard, *_ = sorted(folder.glob("train-*"))
    stat = shard.stat()
    shard.write_bytes(bytes(stat.st_size))
    os.utime(shard, ns=(stat.st_atime_ns, stat.st_mtime_ns))  # so that its name in the cache stays the same
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        load(folder, tmp_path / "cache")


def test_without_the_test_split_its_files_may_be_missing(folder: Path, tmp_path: Path) -> None:
    whole = load(folder, tmp_path / "a")
    for file in folder.glob("test-*"):
        file.unlink()
    found = load_dataset("cifar10", str(folder), tmp_path / "b", splits=["train"])
    assert found.digests == {"train": whole.train.digest}
    assert [path.name.rsplit("-", 2)[0] for path in (tmp_path / "b").glob("*-v2")] == ["cifar10-train"]
    with pytest.raises(DataError, match=r"test-00000-of-00001.parquet is missing"):
        load_dataset("cifar10", str(folder), tmp_path / "b")


def test_the_joint_digest_is_the_one_that_version_0_1_0_recorded() -> None:
    recorded = "85ee40c792651c619786ab8ffc062006722df786a539610a2b4b2a8917930677"
    assert load_dataset("digits").joint_digest() == recorded


LOAD = """
import resource, signal, sys
from pathlib import Path
from convnn.data import DataError, load_dataset
if len(sys.argv) > 3:
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # so that a write beyond the limit fails as on a full disk
    resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]),) * 2)
try:
    print(load_dataset("cifar10", sys.argv[1], Path(sys.argv[2])).digests)
except DataError as error:
    print(error)
"""


def load_elsewhere(*arguments: object) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", LOAD, *map(str, arguments)], stdout=subprocess.PIPE, text=True)


def test_processes_that_start_together_decode_once_and_read_the_same(folder: Path, tmp_path: Path) -> None:
    processes = [load_elsewhere(folder, tmp_path / "c") for _ in range(3)]
    digests = {process.communicate(timeout=60)[0] for process in processes}
    assert digests == {f"{load(folder, tmp_path / 'c').digests}\n"}
    assert len(list((tmp_path / "c").glob("cifar10-*"))) == 2


def test_a_full_disk_leaves_no_half_entry_and_names_the_cache(folder: Path, tmp_path: Path) -> None:
    message, _ = load_elsewhere(folder, tmp_path / "c", 50_000).communicate(timeout=60)
    assert f"cannot be written to {tmp_path / 'c'}" in message
    assert not list((tmp_path / "c").glob("cifar10-*"))
    assert len(load_dataset("cifar10", str(folder), tmp_path / "c").train) == 40
