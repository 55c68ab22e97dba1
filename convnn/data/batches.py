"""Images as normalized batches on a device.

On the CPU, a batch is read directly from the memory-mapped file. On CUDA, the device keeps a uint8 copy of the images.
Shapes: B batch, images `(B, 3, 32, 32)` float32, labels `(B,)` int64.
"""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from convnn.data.cache import Images
from convnn.data.facts import DatasetFacts

CROP_MARGIN = 4
"""Largest shift of an image by a random crop, in pixels."""


class Batches:
    """A split of a data set, ready for iteration in any order."""

    def __init__(
        self,
        images: Images,
        index: NDArray[np.int64],
        facts: DatasetFacts,
        device: torch.device | str = "cpu",
    ) -> None:
        self.device = torch.device(device)
        self.classes = facts.classes
        self.labels = torch.from_numpy(images.labels[index].astype(np.int64)).to(self.device)
        self._index = index
        self._mapped = images.pixels
        self._resident = None if self.device.type == "cpu" else torch.from_numpy(images.pixels[index]).to(self.device)
        self._mean = torch.tensor(facts.mean, device=self.device).view(3, 1, 1) * 255
        self._std = torch.tensor(facts.std, device=self.device).view(3, 1, 1) * 255

    def __len__(self) -> int:
        return len(self._index)

    def iterate(
        self, order: Tensor, batch_size: int, augment: torch.Generator | None = None
    ) -> Iterator[tuple[Tensor, Tensor]]:
        """Yield batches in the given order; the last one may be smaller.

        Args:
            order: Indices of the images, `(N,)`, on the CPU.
            batch_size: B.
            augment: CPU generator for random flips and shifts; no augmentation if `None`.
        """
        there = order.to(self.device)
        moves = _drawn_moves(len(order), augment, self.device).split(batch_size) if augment is not None else None
        labels = self.labels[there].split(batch_size)
        for number, chosen in enumerate((order if self._resident is None else there).split(batch_size)):
            if self._resident is None:
                raw = torch.from_numpy(self._mapped[self._index[chosen.numpy()]])
            else:
                raw = self._resident[chosen]
            images = torch.empty(len(raw), 3, *raw.shape[1:3], device=self.device)
            images.copy_(raw.permute(0, 3, 1, 2)).sub_(self._mean).div_(self._std)
            if moves is not None:
                images = flip_and_shift(images, moves[number])
            yield images, labels[number]


def _drawn_moves(count: int, draws: torch.Generator, device: torch.device) -> Tensor:
    """Draw for each image whether it is mirrored, and its shift down and right, `(N, 3)`."""
    flip = torch.randint(0, 2, (count, 1), generator=draws)
    shift = torch.randint(0, 2 * CROP_MARGIN + 1, (count, 2), generator=draws)
    return torch.cat([flip, shift], dim=1).to(device)


def flip_and_shift(images: Tensor, moves: Tensor) -> Tensor:
    """Mirror images, and shift each by up to CROP_MARGIN pixels; the gap is filled with the mean color.

    Args:
        images: `(B, 3, H, W)`, with mean 0.
        moves: `(B, 3)`: 1 if mirrored, then the index of the first row and column, 0 to 2 CROP_MARGIN.
    """
    batch, _, height, width = images.shape
    images = torch.where(moves[:, 0].view(-1, 1, 1, 1) == 1, images.flip(-1), images)
    padded = torch.nn.functional.pad(images, (CROP_MARGIN,) * 4)
    rows = moves[:, 1:2] + torch.arange(height, device=images.device)  # (B, H)
    columns = moves[:, 2:] + torch.arange(width, device=images.device)  # (B, W)
    which = torch.arange(batch, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[which, rows.unsqueeze(-1), columns.unsqueeze(-2)].permute(0, 3, 1, 2).contiguous()
