import functools
from typing import Any

import pytest
import torch
from torch import nn

from convnn.models.vgg import vgg11


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"width": 0.0}, r"width must be above 0 \(a factor on the published channels\), got width=0.0"),
        ({"classifier_width": 0}, "classifier_width must be an integer, at least 1"),
        ({"dropout": 1.5}, "dropout must be at least 0 and less than 1, got dropout=1.5"),
        ({"lam": 2.0}, "lambda must be 0"),
        ({"lam": 0.5, "similarity": "l1"}, "similarity must be one of"),
    ],
)
def test_invalid_options_of_vgg11_are_rejected(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vgg11(7, **options)


@pytest.mark.parametrize(
    "options",
    [
        {"kernel_size": 4},
        {"k": 4, "aggregation": "depthwise", "position": "both", "position_scaling": "std"},
        {
            "k": 4,
            "aggregation": "depthwise_separable",
            "patch": 2,
            "candidates": "random",
            "r": 8,
            "when_too_few": "all",
        },
        {"k": 1, "candidates": "strided", "stride": 2, "projections": "linear", "rho": "softmax"},
    ],
)
def test_every_option_trains_in_vgg11(options: dict[str, Any]) -> None:
    model = vgg11(7, 0.5, width=1 / 16, classifier_width=12, **options)
    model(torch.randn(3, 3, 32, 32)).square().sum().backward()
    assert all(
        p.grad is not None for n, p in model.named_parameters() if not n.endswith(("query.weight", "key.weight"))
    )


def test_a_custom_layer_gets_the_input_and_output_channels() -> None:
    model = vgg11(10, width=1 / 16, classifier_width=4, layer=functools.partial(nn.Conv2d, kernel_size=1, bias=False))
    layers = [module for module in model.features.modules() if isinstance(module, nn.Conv2d)]
    assert [(layer.in_channels, layer.out_channels) for layer in layers][:3] == [(3, 4), (4, 8), (8, 16)]
    assert model(torch.randn(2, 3, 32, 32)).shape == (2, 10)
