from typing import Any

import pytest

from search_spaces import TrialConfig
from search_spaces.models import MixingLayer, ModelConfig
from search_spaces.models.base import lam


class Bare(ModelConfig):
    """A model without overrides."""

    name: str = "bare"
    depth: int = 3

    @property
    def mixing_layer(self) -> MixingLayer:
        return MixingLayer()


def test_a_minimal_model_has_no_limits_and_its_fields_as_its_key() -> None:
    model = Bare()
    assert not list(model.infeasibilities())
    assert model.canonical() == model
    assert model.key_content() == {"name": "bare", "depth": 3}
    assert (model.parameters(10), model.activations(), model.flops(10), model.kept(10)) == (0, 0, None, None)
    assert model.headline() == {"lambda": 0.0, "k": None, "r": None, "p": None, "aggregation": None}


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ({"name": "vgg11", "layer": {"kind": "conv2d"}}, 0.0),
        ({"name": "vgg11", "layer": {"kind": "convnn"}}, 1.0),
        ({"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.25}}, 0.25),
        ({"name": "vit_tiny", "attention": {"kind": "local"}}, 0.0),
        ({"name": "vit_tiny", "attention": {"kind": "convnn"}}, 1.0),
        ({"name": "vit_tiny", "attention": {"kind": "hybrid", "lambda": 1}}, 1.0),
    ],
)
def test_every_kind_of_layer_has_a_lambda(model: dict[str, Any], expected: float) -> None:
    assert lam(TrialConfig.model_validate({"model": model}).model.mixing_layer) == expected
