"""The torch module of the ResNet. Only workers load this module.

Shapes: B batch, C channels, S side of the map.
"""

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn
from torch.nn import functional as F

from convnn.layers import HybridBranch2d

Layer = Callable[[int, int], nn.Module]


class Block(nn.Module):
    """Two layers with batch norm, and a shortcut around them: `(B, C, S, S)` in, `(B, O, S / stride, S / stride)` out.

    The layers have no stride: ConvNN computes an output for each token. With a stride of 2, the first layer runs on the
    whole map, and every second row and column of its output is kept. For a convolution this equals a stride of 2. Its
    cost is four times that of a convolution with a stride.
    """

    def __init__(self, inputs: int, outputs: int, layer: Layer, stride: int) -> None:
        super().__init__()
        self.stride = stride
        self.first, self.first_norm = layer(inputs, outputs), nn.BatchNorm2d(outputs)
        self.second, self.second_norm = layer(outputs, outputs), nn.BatchNorm2d(outputs)

    def forward(self, images: Tensor) -> Tensor:
        """Return the output of the block."""
        found = F.relu(self.first_norm(self.first(images)[:, :, :: self.stride, :: self.stride]))
        found = self.second_norm(self.second(found))
        same = images[:, :, :: self.stride, :: self.stride]
        return F.relu(found + F.pad(same, (0, 0, 0, 0, 0, found.shape[1] - same.shape[1])))


def resnet(num_classes: int, n: int, width: int, **stages: Mapping[str, Any]) -> nn.Module:
    """Build a ResNet of 6n + 2 layers; images `(B, 3, 32, 32)` in, logits `(B, num_classes)` out.

    Source: He et al., "Deep Residual Learning for Image Recognition", CVPR 2016, section 4.2, with shortcuts without
    parameters (option A): where channels double, the added channels of the shortcut are 0. The 3x3 convolutions of the
    blocks are replaced; the first convolution and the classifier are those of the paper. Each hybrid layer ends with a
    1x1 convolution: at lambda 0 it has more parameters than a plain 3x3 convolution, and computes the same functions.

    Args:
        num_classes: Number of classes.
        n: Blocks per stage.
        width: Channels of the first stage; 16 as published.
        **stages: The options of the layers of each stage, in order: those of `convnn.layers.HybridBranch2d`, or a
            function `layer` of input and output channels with its options.
    """
    blocks: list[nn.Module] = []
    inputs, outputs = width, width
    for options in stages.values():
        for number in range(n):
            stride = 2 if number == 0 and inputs != outputs else 1
            blocks.append(Block(inputs, outputs, _maker(**options), stride))
            inputs = outputs
        outputs *= 2
    return nn.Sequential(
        nn.Conv2d(3, width, 3, padding=1, bias=False),
        nn.BatchNorm2d(width),
        nn.ReLU(),
        *blocks,
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(inputs, num_classes),
    )


def _maker(layer: Callable[..., nn.Module] = HybridBranch2d, **options: Any) -> Layer:  # noqa: ANN401 - the layer checks
    return lambda inputs, outputs: layer(inputs, outputs, **options)
