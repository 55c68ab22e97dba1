import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from convnn.data import DATASETS, DataError, DatasetFacts, Split, load_dataset, register_dataset
from convnn.data.colors import mean_and_std
from convnn.data.facts import registered_dataset, unregister_dataset
from tests.convnn.data.shards import pixels

FACTS = DatasetFacts(2, 8, 4, (0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


class Made:
    """Synthetic images; `root` is their number."""

    def __init__(self, root: str | None) -> None:
        self.count = int(root or 8)

    def fingerprint(self, split: Split) -> str:  # noqa: ARG002
        return f"made {self.count}"

    def read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
        count = self.count if split == "train" else 4
        return pixels(count, count), np.arange(count, dtype=np.int64) % 2


def test_a_registered_data_set_is_loaded_from_its_own_source(tmp_path: Path) -> None:
    register_dataset("made", FACTS, Made)
    try:
        register_dataset("made", FACTS, Made)  # registering the same again is allowed
        data = load_dataset("made", "6", tmp_path)
        assert data.facts == FACTS
        assert np.array_equal(data.train.pixels, pixels(6, 6))
        assert data.test.labels.tolist() == [0, 1, 0, 1]
        with pytest.raises(ValueError, match="the name 'digits' is already used by another data set; choose"):
            register_dataset("digits", FACTS, Made)
    finally:
        unregister_dataset("made")
    unregister_dataset("digits")  # has no effect on a built-in data set
    assert list(DATASETS) == ["digits", "cifar10", "cifar100"]


def test_a_folder_with_more_images_than_the_data_set_has_is_another_data_set(tmp_path: Path) -> None:
    register_dataset("made", FACTS, Made)
    try:
        with pytest.raises(
            DataError, match=r"at most 8 train images, but 9 were found; .* its author must set train_images=9 in its"
        ):
            load_dataset("made", "9", tmp_path)
        assert not list(tmp_path.glob("made-*"))
    finally:
        unregister_dataset("made")


@pytest.mark.parametrize(
    ("mean", "std"),
    [
        ((125.3, 123.0, 113.9), (0.2, 0.2, 0.2)),
        ((0.5, 0.5, math.nan), (0.2, 0.2, 0.2)),
        ((0.5, 0.5), (0.2, 0.2, 0.2)),
        ((0.5, 0.5, 0.5), (0.2, 0.0, 0.2)),
        ((0.5, 0.5, 0.5), (0.2, 0.2, math.inf)),
        ((0.5, 0.5, 0.5), (0.2,)),
    ],
)
def test_mean_and_std_are_three_numbers_for_colors_from_0_to_1(mean: Any, std: Any) -> None:
    with pytest.raises(ValueError, match=r"^(mean|std) must be three numbers .*, for pixels divided by 255, got \("):
        register_dataset("made", DatasetFacts(2, 8, 4, mean, std), Made)
    assert "made" not in DATASETS


def test_mean_and_std_of_pixels_are_those_of_numpy() -> None:
    pixels = np.random.default_rng(0).integers(0, 90, (1003, 2, 2, 3), dtype=np.uint8)
    expected = [found((0, 1, 2)) / 255 for found in (pixels.mean, pixels.std)]
    assert np.allclose(mean_and_std(pixels), expected, rtol=1e-12)


def test_a_new_version_of_a_data_set_is_decoded_again(tmp_path: Path) -> None:
    """The fingerprint of a source need not change when the code that makes the images changes."""

    class Other(Made):
        def read(self, split: str) -> tuple[np.ndarray, np.ndarray]:
            images, labels = super().read(split)
            return 255 - images, labels

    found = []
    for version, source in ((None, Made), (1, Other), (2, Made)):
        with registered_dataset("made", replace(FACTS, config_version=version), source):
            found.append(load_dataset("made", "6", tmp_path).train.pixels)
    assert [np.array_equal(images, pixels(6, 6)) for images in found] == [True, False, True]


def test_the_facts_of_a_data_set_are_those_of_its_images() -> None:
    data = load_dataset("digits")
    assert (len(data.train), len(data.test)) == (data.facts.train_images, data.facts.test_images)
