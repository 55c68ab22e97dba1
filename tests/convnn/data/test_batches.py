from pathlib import Path

import numpy as np
import torch

from convnn.data import load_dataset
from convnn.data.batches import CROP_MARGIN, Batches, flip_and_shift


def test_batches_are_normalized_with_the_data_sets_constants(folder: Path, tmp_path: Path) -> None:
    data = load_dataset("cifar10", str(folder), tmp_path / "cache")
    batches = Batches(data.train, np.array([3, 30, 7]), data.facts)
    (images, labels), (last, _) = batches.iterate(torch.tensor([2, 0, 1]), 2)
    mean, std = (np.array(x).reshape(3, 1, 1) for x in (data.facts.mean, data.facts.std))
    expected = (data.train.pixels[7].transpose(2, 0, 1) / 255 - mean) / std
    torch.testing.assert_close(images[0], torch.from_numpy(expected).float(), atol=1e-5, rtol=0)
    assert labels.tolist() == [data.train.labels[7], data.train.labels[3]]
    assert last.shape == (1, 3, 32, 32)


def test_augmentation_mirrors_and_shifts_each_image_as_it_is_drawn() -> None:  # oracle: numpy, image by image
    rng = np.random.default_rng(0)
    images = rng.normal(size=(20, 3, 32, 32)).astype(np.float32)
    moves = np.stack([rng.integers(0, 2, 20), *rng.integers(0, 2 * CROP_MARGIN + 1, (2, 20))], axis=1)
    moved = flip_and_shift(torch.from_numpy(images), torch.from_numpy(moves)).numpy()
    for image, (flip, down, right), found in zip(images, moves, moved, strict=True):
        padded = np.pad(image[..., ::-1] if flip else image, ((0, 0), (CROP_MARGIN,) * 2, (CROP_MARGIN,) * 2))
        assert np.array_equal(found, padded[:, down : down + 32, right : right + 32])


def test_augmentation_draws_again_in_each_epoch_and_uses_the_whole_range(folder: Path, tmp_path: Path) -> None:
    data = load_dataset("cifar10", str(folder), tmp_path / "cache")
    batches = Batches(data.train, np.zeros(400, dtype=np.int64), data.facts)
    draws = torch.Generator().manual_seed(0)
    epochs = [torch.cat([images for images, _ in batches.iterate(torch.arange(400), 64, draws)]) for _ in range(2)]
    assert not torch.equal(*epochs)
    ((plain, _),) = batches.iterate(torch.arange(1), 1)
    whole = range(2 * CROP_MARGIN + 1)
    all_moves = torch.tensor([[flip, down, right] for flip in (0, 1) for down in whole for right in whole])
    possible = {
        image.numpy().tobytes() for image in flip_and_shift(plain.expand(len(all_moves), -1, -1, -1), all_moves)
    }
    seen = {image.numpy().tobytes() for image in torch.cat(epochs)}
    assert seen <= possible
    assert len(seen) > 0.95 * len(possible)
