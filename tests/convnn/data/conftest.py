from pathlib import Path

import pytest

from tests.convnn.data.shards import pixels, write_shard


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "my data"
    place.mkdir()
    for number in range(2):
        write_shard(place / f"train-0000{number}-of-00002.parquet", pixels(20, number), [i % 10 for i in range(20)])
    write_shard(place / "test-00000-of-00001.parquet", pixels(10, 2), list(range(10)))
    return place
