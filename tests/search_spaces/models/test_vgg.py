from typing import Any, get_args

import pytest

from convnn.aggregation import AGGREGATIONS, RHOS
from convnn.layers import POSITIONS, ConvNN2d, HybridBranch2d, PositionScaling, Projections
from convnn.models.vgg import vgg11
from convnn.similarity import SIMILARITIES
from search_spaces import TrialConfig
from search_spaces.base import Infeasible
from search_spaces.models.vgg import Conv2dLayer, ConvNNLayer, HybridLayer
from search_spaces.models.vgg11 import VGG11
from search_spaces.reading.fields import literal_of
from tests.search_spaces.models.agree import arguments_of, defaults, words
from tests.search_spaces.models.test_candidates import KINDS


def model(layer: dict[str, Any], **options: Any) -> VGG11:
    found = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": layer, **options}}).model
    assert isinstance(found, VGG11)
    return found


def some(kind: Any) -> Any:
    """Build candidates of a kind."""
    amount = {name: 4 for name in ("r", "stride", "side") if name in kind.model_fields}
    return kind(kind=literal_of(kind, "kind"), **amount)


def test_a_convnn_layer_has_the_options_and_the_defaults_of_convnn2d() -> None:
    options = defaults(ConvNN2d)
    found = ConvNNLayer(kind="convnn").arguments()
    assert found.pop("lam") == 1.0
    assert found == {name: options[name] for name in found}
    assert arguments_of(ConvNNLayer(kind="convnn", candidates=some(kind)) for kind in KINDS) - {"lam"} == set(options)


def test_a_hybrid_has_the_options_of_both_branches_and_a_convolution_its_own_options() -> None:
    kernel = defaults(HybridBranch2d)["kernel_size"]
    convolution = Conv2dLayer(kind="conv2d").arguments()
    assert convolution == {"lam": 0.0, "kernel_size": kernel}
    hybrid = HybridLayer(kind="hybrid", lam=0.5).arguments()
    assert hybrid == {**ConvNNLayer(kind="convnn").arguments(), "lam": 0.5, "kernel_size": kernel}


def test_the_values_of_a_layers_options_are_those_of_convnn() -> None:
    fields = ("similarity", "rho", "aggregation", "position", "position_scaling", "projections")
    assert words(ConvNNLayer, *fields) == {
        "similarity": list(SIMILARITIES),
        "rho": list(RHOS),
        "aggregation": list(AGGREGATIONS),
        "position": [word for word in POSITIONS if word != "only"],  # "only" is the convolution
        "position_scaling": list(get_args(PositionScaling)),
        "projections": list(get_args(Projections)),
    }


def test_the_model_has_the_options_and_the_defaults_of_vgg11() -> None:
    own = {name: info.default for name, info in VGG11.model_fields.items() if name not in ("name", "layer")}
    assert own == {name: value for name, value in defaults(vgg11).items() if name not in ("lam", "layer")}


def test_the_factory_names_the_module_and_its_arguments() -> None:
    factory = model({"kind": "hybrid", "lambda": 0.5, "candidates": {"kind": "random", "r": 9}}, width=0.5).factory(7)
    assert factory.target == "convnn.models.vgg:vgg11"
    assert {name: factory.arguments[name] for name in ("num_classes", "width", "lam", "candidates", "r")} == {
        "num_classes": 7,
        "width": 0.5,
        "lam": 0.5,
        "candidates": "random",
        "r": 9,
    }


def test_a_patch_that_does_not_divide_a_map_is_reported_with_the_first_layer() -> None:
    assert list(model({"kind": "convnn", "patch": 4}).infeasibilities()) == [
        Infeasible(
            "model.layer.patch",
            "must divide every side of the map, and conv7 has 2 x 2 tokens",
            "4",
            "patch: 1 always fits",
            before_got="; ",
        )
    ]


@pytest.mark.parametrize("layer", [{"kind": "conv2d"}, {"kind": "convnn", "k": 4}, {"kind": "hybrid", "lambda": 0.5}])
def test_a_wider_model_has_more_of_everything(layer: dict[str, Any]) -> None:
    narrow, wide = model(layer, width=0.125), model(layer, width=0.25)
    assert narrow.parameters(10) < wide.parameters(10) < wide.parameters(100)
    assert narrow.activations() < wide.activations()
    assert (narrow.flops(10) or 0) < (wide.flops(10) or 0)


def test_keys_contain_channels_instead_of_lambda_and_width() -> None:
    content = model({"kind": "hybrid", "lambda": 0.5}, width=0.125).key_content()
    assert "width" not in content
    assert "lam" not in content["layer"]
    assert content["channels"] == [8, 16, 32, 32, 64, 64, 64, 64]
    assert content["layer"]["convnn_channels"] == [4, 8, 16, 16, 32, 32, 32, 32]
