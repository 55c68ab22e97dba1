"""A cache for the neighbors of images that were processed before.

A layer without projections that reads the pixels directly finds the same neighbors for an image in every epoch. On the
CPU, this search is most of the work of a small model's first layer. A cache lookup costs only a hash of the image.
"""

import hashlib
from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

MOST_BYTES = 2**28
"""Largest size of one layer's cache: 16,384 images of 32 x 32 pixels with k = 9."""


class Remembered:
    """The neighbors of images, by their pixels. When MOST_BYTES are used, no further images are added."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._found: dict[bytes, Tensor] = {}
        self._left = most_bytes

    def __len__(self) -> int:
        return len(self._found)

    def __reduce__(self) -> tuple[type[Self], tuple[()]]:
        """Pickle and copy a model with an empty cache."""
        return type(self), ()

    def neighbors(self, images: Tensor, candidates: int, find: Callable[[slice], Tensor]) -> Tensor:
        """Return the neighbors of every image, `(B, N, K)`.

        Args:
            images: `(B, ...)`, on the CPU.
            candidates: Number of candidates.
            find: Finds the neighbors for a slice of the images, `(b, N, K)`. It is called for one image at a time, so
                that the result does not depend on the other images of the batch.
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
