"""The torch modules. Only workers load this module."""

from torch import Tensor, nn

COLORS = 3


class Grouped(nn.Module):
    """A grouped convolution after a shuffle of the channels."""

    def __init__(self, in_channels: int, out_channels: int, groups: int, *, shuffle: bool) -> None:
        super().__init__()
        self.shuffle = nn.ChannelShuffle(groups) if shuffle else nn.Identity()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, groups=groups)

    def forward(self, images: Tensor) -> Tensor:
        mapped: Tensor = self.convolution(self.shuffle(images))
        return mapped


def grouped(in_channels: int, out_channels: int, *, groups: int, shuffle: bool) -> nn.Module:
    """Build one layer of kind `grouped`."""
    return Grouped(in_channels, out_channels, 1 if in_channels == COLORS else groups, shuffle=shuffle)
