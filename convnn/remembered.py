"""Neighbors of images that were seen before.

A layer without projections that sees the pixels themselves finds for an image the same neighbors in every epoch. On the
CPU that search is most of what a small model's first layer does, and remembering what was found costs a hash of the
image.
"""

import hashlib
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

MOST_BYTES = 2**28
"""Kept by one layer; of 32 x 32 images with k = 9 these are 16,384."""


class Remembered:
    """What was found for an image, by its pixels; until MOST_BYTES are kept, of no more images after that."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._found: dict[bytes, Tensor] = {}
        self._left = most_bytes

    def __len__(self) -> int:
        return len(self._found)

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """A copy of a model, or what is saved of it, begins anew."""
        return type(self), ()

    def neighbors(self, images: Tensor, candidates: int, find: Callable[[slice], Tensor]) -> Tensor:
        """The neighbors of every image, `(B, N, K)`.

        Args:
            images: `(B, ...)`, on the CPU.
            candidates: How many there are.
            find: Finds those of a slice of the images, `(b, N, K)`. It is asked for one image at a time, so that what
                is found does not depend on which images come together.
        """
        rows = images.detach().flatten(1).contiguous().numpy()
        index = torch.int16 if candidates <= torch.iinfo(torch.int16).max else torch.int32
        parts = []
        for place, row in enumerate(rows):
            key = hashlib.blake2b(row.data, digest_size=16).digest()
            if (found := self._found.get(key)) is None:
                found = find(slice(place, place + 1)).to(index)
                self._keep(key, found)
            parts.append(found)
        return torch.cat(parts).long()

    def _keep(self, key: bytes, found: Tensor) -> None:
        size = found.numel() * found.element_size()
        if size <= self._left:
            self._found[key] = found
            self._left -= size
