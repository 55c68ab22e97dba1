"""What the settings stand for. This is loaded where trials are trained."""

from torch import Tensor, nn

COLORS = 3


class Grouped(nn.Module):
    """A convolution in groups, after a shuffle of the channels."""

    def __init__(self, in_channels: int, out_channels: int, groups: int, *, shuffle: bool) -> None:
        super().__init__()
        self.shuffle = nn.ChannelShuffle(groups) if shuffle else nn.Identity()
        self.convolution = nn.Conv2d(in_channels, out_channels, 3, padding=1, groups=groups)

    def forward(self, images: Tensor) -> Tensor:
        mapped: Tensor = self.convolution(self.shuffle(images))
        return mapped


def grouped(in_channels: int, out_channels: int, *, groups: int, shuffle: bool) -> nn.Module:
    """The module of one layer of kind `grouped`."""
    return Grouped(in_channels, out_channels, 1 if in_channels == COLORS else groups, shuffle=shuffle)


class Averaging(nn.Module):
    """Each token becomes the mean of the tokens around it, mapped linearly."""

    def __init__(self, channels: int, heads: int, *, dropout: float, reach: int) -> None:
        super().__init__()
        del heads
        self.mean = nn.AvgPool1d(2 * reach + 1, stride=1, padding=reach, count_include_pad=False)
        self.output = nn.Linear(channels, channels)
        self.dropout = nn.Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        mapped: Tensor = self.dropout(self.output(self.mean(tokens.mT).mT))
        return mapped


def pixel_mlp(num_classes: int, hidden: int) -> nn.Module:
    """The model of the same name."""
    layers = [nn.Flatten(), nn.AvgPool1d(4), nn.Linear(768, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)]
    return nn.Sequential(*layers)
