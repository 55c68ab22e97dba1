"""Coordinates of tokens, and patches of pixels as tokens.

Shapes: B batch, C channels, M tokens, S the sides of the map: `(L,)` or `(H, W)`.
"""

import torch
from torch import Tensor
from torch.nn import functional as F


def coordinates(shape: tuple[int, ...], like: Tensor) -> Tensor:
    """Return each token's coordinates from -1 to 1, the last axis (x) first: `(M, axes)` in `like`'s dtype.

    Source: paper 4.2.1; the range is the published code's.
    """
    steps = [torch.linspace(-1, 1, side, dtype=like.dtype, device=like.device) for side in shape]
    return torch.stack(torch.meshgrid(*steps, indexing="ij")[::-1], dim=-1).flatten(0, -2)


def unshuffle(x: Tensor, patch: int) -> Tensor:
    """Merge `patch` pixels per axis into one token: `(B, C, S)` to `(B, C * patch^axes, S / patch)` (paper 13)."""
    if x.dim() == 4:  # noqa: PLR2004 - a map
        return F.pixel_unshuffle(x, patch)
    pieces: Tensor = x.unflatten(2, (-1, patch))
    return pieces.transpose(2, 3).flatten(1, 2)


def shuffle(x: Tensor, patch: int) -> Tensor:
    """Undo `unshuffle`."""
    if x.dim() == 4:  # noqa: PLR2004 - a map
        return F.pixel_shuffle(x, patch)
    pieces: Tensor = x.unflatten(1, (-1, patch))
    return pieces.transpose(2, 3).flatten(2, 3)
