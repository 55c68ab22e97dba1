"""Tokens, candidates and channels of every stage, in closed form and without torch.

Models are built from these numbers and configurations are judged by them, so the two cannot disagree.
"""

from collections.abc import Iterator
from dataclasses import dataclass

VGG11_PLAN: tuple[int | None, ...] = (64, None, 128, None, 256, 256, None, 512, 512, None, 512, 512, None)
"""Output channels of VGG-11's eight convolutions at width 1; `None` halves the map."""

IMAGE_SIDE = 32
"""Every data set is shown to the models as 32 x 32 RGB images."""

POOLED_SIDE = 7
"""VGG's adaptive pool hands 7 x 7 positions to the classifier."""


@dataclass(frozen=True)
class Stage:
    """One layer of a model: its name, channels and the side of its square map, in tokens."""

    name: str
    in_channels: int
    out_channels: int
    side: int

    def candidates(self, padding: int) -> int:
        """Tokens to choose neighbors from, with a ring of `padding` zero tokens around the map."""
        return (self.side + 2 * padding) ** 2


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, at least 1."""
    return max(1, round(channels * width))


def vgg11_stages(width: float = 1.0, image_side: int = IMAGE_SIDE) -> Iterator[Stage | None]:
    """VGG-11's layers in order; `None` where the map is halved."""
    channels, side, number = 3, image_side, 0
    for entry in VGG11_PLAN:
        if entry is None:
            side //= 2
            yield None
            continue
        number += 1
        out = scaled(entry, width)
        yield Stage(f"conv{number}", channels, out, side)
        channels = out


def convnn_channels(out_channels: int, lam: float) -> int:
    """Output channels of a hybrid layer that come from ConvNN: int(lambda x out), as in the published runs."""
    return int(out_channels * lam)
