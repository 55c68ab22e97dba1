"""The torch modules of the attention and the model."""

from torch import Tensor, nn


class Averaging(nn.Module):
    """Replace each token by the mean of the tokens around it, mapped linearly."""

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
    """Build the model `pixel_mlp`."""
    layers = [nn.Flatten(), nn.AvgPool1d(4), nn.Linear(768, hidden), nn.ReLU(), nn.Linear(hidden, num_classes)]
    return nn.Sequential(*layers)
