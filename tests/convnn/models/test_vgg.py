import functools
from typing import Any

import pytest
import torch
from torch import nn

from convnn.layers import HybridBranch2d
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


SMALL: dict[str, Any] = {"width": 1 / 16, "classifier_width": 12}


def test_each_layer_has_the_options_of_its_range() -> None:
    pointwise = functools.partial(nn.Conv2d, kernel_size=1)
    layers: dict[str, dict[str, Any]] = {
        "conv8": {"layer": pointwise},
        "conv1-conv4": {"kernel_size": 5},
        "conv5-conv7": {"lam": 0.5, "k": 3},
    }
    model = vgg11(7, layers=layers, **SMALL)
    made = [part for part in model.features.children() if isinstance(part, HybridBranch2d | nn.Conv2d)]
    assert [part.lam for part in made[:7] if isinstance(part, HybridBranch2d)] == [0, 0, 0, 0, 0.5, 0.5, 0.5]
    assert isinstance(made[7], nn.Conv2d)
    model(torch.randn(3, 3, 32, 32)).square().sum().backward()
    assert all(weight.grad is not None for weight in model.parameters())


def test_equal_layers_by_depth_are_the_same_model_as_one_layer() -> None:
    options = {"lam": 0.5, "k": 4, "candidates": "random", "r": 8}
    models = []
    for how in (options, {"layers": {"conv1-conv2": options, "conv3": options, "conv4-conv8": options}}):
        torch.manual_seed(0)
        models.append(vgg11(7, **SMALL, **how))
    for one, other in zip(*(model.state_dict().items() for model in models), strict=True):
        assert one[0] == other[0]
        assert torch.equal(one[1], other[1])


def test_with_layers_by_depth_only_the_first_layer_remembers_images() -> None:
    model = vgg11(7, layers={"conv1-conv2": {"lam": 1.0}, "conv3-conv8": {"lam": 0.5, "k": 3}}, **SMALL)
    model.remember_images()
    found = [name for name, part in model.named_modules() if getattr(part, "remembered", None) is not None]
    assert found == ["features.0.convnn"]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layers": {"conv1-conv7": {}}}, "layers must name every stage once; conv8 is missing"),
        ({"layers": {"conv1-conv8": {}, "conv2": {}}}, r"layers\['conv2'\] must not repeat a stage"),
        ({"layers": {"conv1-8": {}}}, r"layers\['conv1-8'\] must be a stage .*did you mean 'conv1-conv8'"),
        (
            {"layers": {"conv1-conv8": {}}, "lam": 0.5, "k": 4},
            "cannot be combined with options for all layers, got lam, k",
        ),
    ],
)
def test_incomplete_or_ambiguous_layers_by_depth_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        vgg11(7, **options)
