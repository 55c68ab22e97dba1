"""Images as normalised batches on a device.

On the CPU a batch is read straight from the map; on CUDA one uint8 copy of the images lives on the device.
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
"""Pixels that a random crop may shift an image by."""


class Batches:
    """Part of a data set, ready to be walked through in any order."""

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
        """Batches in the given order, the last one smaller at need.

        Args:
            order: Which images, `(N,)`, on the CPU.
            batch_size: B.
            augment: Flips and shifts images by this CPU generator's draws; no augmentation if `None`.
        """
        for chosen in order.split(batch_size):
            if self._resident is None:
                raw = torch.from_numpy(self._mapped[self._index[chosen.numpy()]])
            else:
                raw = self._resident[chosen.to(self.device)]
            images = raw.permute(0, 3, 1, 2).to(torch.float32).sub_(self._mean).div_(self._std)
            if augment is not None:
                images = flip_and_shift(images, augment)
            yield images.contiguous(), self.labels[chosen.to(self.device)]


def flip_and_shift(images: Tensor, draws: torch.Generator) -> Tensor:
    """Mirror every second image, on average, and shift each by up to CROP_MARGIN pixels over the mean colour."""
    batch, _, height, width = images.shape
    flip = torch.rand(batch, generator=draws) < 0.5  # noqa: PLR2004
    shift = torch.randint(0, 2 * CROP_MARGIN + 1, (batch, 2), generator=draws)
    flip, shift = flip.to(images.device), shift.to(images.device)
    images = torch.where(flip.view(-1, 1, 1, 1), images.flip(-1), images)
    padded = torch.nn.functional.pad(images, (CROP_MARGIN,) * 4)
    rows = shift[:, :1] + torch.arange(height, device=images.device)  # (B, H)
    columns = shift[:, 1:] + torch.arange(width, device=images.device)  # (B, W)
    which = torch.arange(batch, device=images.device).view(-1, 1, 1)
    return padded.permute(0, 2, 3, 1)[which, rows.unsqueeze(-1), columns.unsqueeze(-2)].permute(0, 3, 1, 2)
