from pathlib import Path

import numpy as np
import torch

from convnn.data import load_dataset
from convnn.data.batches import Batches, flip_and_shift


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
