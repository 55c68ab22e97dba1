"""VGG-11 as in the published runs: hybrid layers, batch norm, and a classifier over 7 x 7 positions."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from torch import Tensor, nn

from convnn.checks import require_count, require_rate
from convnn.geometry import POOLED_SIDE, range_mistakes, stage_ranges, vgg11_stages
from convnn.layers import ConvNN2d, HybridBranch2d
from convnn.remembered import Remembered


class VGG(nn.Module):
    """Features, an adaptive average pool, and a classifier; images `(B, 3, S, S)` in, logits `(B, classes)` out."""

    pooled_side = POOLED_SIDE

    def __init__(self, features: nn.Module, classifier: nn.Sequential) -> None:
        super().__init__()
        self.features = features
        self.pool = self.pooling()
        self.classifier = classifier

    @staticmethod
    def pooling() -> nn.Module:
        """Return the pooling layer that gives the classifier its fixed number of positions."""
        return nn.AdaptiveAvgPool2d(POOLED_SIDE)

    def remember_images(self) -> None:
        """Let the first layer cache the neighbors of images, which is faster if the same images come again."""
        for part in next(iter(self.features.children())).modules():
            if isinstance(part, ConvNN2d):
                part.remembered = Remembered()

    def forward(self, images: Tensor) -> Tensor:
        """Return the logits `(B, classes)`."""
        logits: Tensor = self.classifier(self.pool(self.features(images)).flatten(1))
        return logits


def vgg11(
    num_classes: int,
    lam: float = 0.0,
    *,
    width: float = 1.0,
    classifier_width: int = 4096,
    dropout: float = 0.5,
    layer: Callable[[int, int], nn.Module] | None = None,
    layers: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,  # noqa: ANN401 - the layer checks them
) -> VGG:
    """Build a VGG-11 in which every layer is a HybridBranch2d, or built by `layer`, followed by batch norm and ReLU.

    Source: paper 6.1 and the published model. Every layer has the 1x1 fusion, also at lambda 0 and 1. So at k = 9 every
    lambda has 130,015,690 parameters with 10 classes and 130,384,420 with 100.

    Args:
        num_classes: Number of classes.
        lam: lambda: 0 is the convolutional baseline, 1 is ConvNN alone.
        width: Factor on every layer's channels; 1 as published.
        classifier_width: Units in each of the two hidden classifier layers; 4096 as published.
        dropout: Dropout rate after each hidden classifier layer.
        layer: Builds each layer from its input and output channels; a HybridBranch2d if `None`.
        layers: The options of each range of layers, by its name, instead of `lam`, `layer` and options for all layers:
            `{"conv1-conv4": {}, "conv5-conv8": {"lam": 0.5, "k": 9}}`. Every layer, conv1 to conv8, is named once.
        **options: Options of HybridBranch2d and of its ConvNN2d.

    Raises:
        ValueError: If an option is out of range.
    """
    require_count("num_classes", num_classes)
    require_count("classifier_width", classifier_width)
    require_rate("dropout", dropout)
    if not width > 0:
        raise ValueError(f"width must be above 0 (a factor on the published channels), got {width=}; try 1.")
    whole = ({"lam": lam} if lam else {}) | ({"layer": layer} if layer else {}) | options
    makers = _makers({"conv1-conv8": whole} if layers is None else layers)
    if layers is not None and whole:
        raise ValueError(
            f"layers cannot be combined with options for all layers, got {', '.join(whole)}; move them into layers."
        )
    features: list[nn.Module] = []
    channels = 0
    for stage in vgg11_stages(width):
        if stage is None:
            features.append(nn.MaxPool2d(2))
            continue
        channels = stage.out_channels
        features += [
            makers[stage.name](stage.in_channels, channels),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
        ]
    hidden = classifier_width
    classifier = nn.Sequential(
        nn.Linear(channels * POOLED_SIDE**2, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, hidden),
        nn.ReLU(inplace=True),
        nn.Dropout(dropout),
        nn.Linear(hidden, num_classes),
    )
    return VGG(nn.Sequential(*features), classifier)


def _makers(layers: Mapping[str, Mapping[str, Any]]) -> dict[str, Callable[[int, int], nn.Module]]:
    """Return the builder of each layer, by its name."""
    for name, message in range_mistakes(list(layers)):
        raise ValueError(f"layers{f'[{name!r}]' if name else ''} {message}")
    return {stage: _maker(**options) for name, options in layers.items() for stage in stage_ranges()[name]}


def _maker(
    *,
    layer: Callable[..., nn.Module] | None = None,
    lam: float = 0.0,
    **options: Any,  # noqa: ANN401 - the layer checks them
) -> Callable[[int, int], nn.Module]:
    return partial(layer, **options) if layer else partial(HybridBranch2d, lam=lam, **options)
