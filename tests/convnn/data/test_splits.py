import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from convnn.data import DataError, limited, stratified_split

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
