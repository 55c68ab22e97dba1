"""The colors of images, for normalizing them."""

import numpy as np
from numpy.typing import NDArray

_AT_ONCE = 1000  # images, which bounds the memory


def mean_and_std(pixels: NDArray[np.uint8]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return mean and standard deviation of each channel of pixels `(N, H, W, C)`, divided by 255."""
    channels = pixels.shape[-1]
    total, squares = np.zeros(channels), np.zeros(channels)
    for start in range(0, len(pixels), _AT_ONCE):
        colors = pixels[start : start + _AT_ONCE].reshape(-1, channels) / 255
        total += colors.sum(0)
        squares += (colors**2).sum(0)
    count = pixels[..., 0].size
    mean = total / count
    return mean, np.sqrt(np.maximum(squares / count - mean**2, 0))
