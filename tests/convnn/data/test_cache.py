import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from convnn.data import load_dataset
from tests.convnn.data.shards import pixels, write_shard


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


def test_a_full_disk_leaves_no_half_entry_and_names_the_cache(folder: Path, tmp_path: Path) -> None:
    message, _ = load_elsewhere(folder, tmp_path / "c", 50_000).communicate(timeout=60)
    assert f"cannot be written to {tmp_path / 'c'}" in message
    assert not list((tmp_path / "c").glob("cifar10-*"))
    assert len(load_dataset("cifar10", str(folder), tmp_path / "c").train) == 40
