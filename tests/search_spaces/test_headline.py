from typing import Any

import pytest

from search_spaces import TrialConfig
from search_spaces.headline import headline


def trial(**model: Any) -> TrialConfig:
    return TrialConfig.model_validate({"model": model, "training": {"lr": 0.5}})


NOTHING = {"lambda": 0.0, "k": None, "r": None, "p": None, "aggregation": None, "lr": 0.5}
RANDOM = {"kind": "random", "r": 16}


@pytest.mark.parametrize(
    ("model", "found"),
    [
        ({"name": "vgg11", "layer": {"kind": "conv2d"}}, {}),
        (
            {"name": "vgg11", "layer": {"kind": "convnn", "k": 4, "patch": 2}},
            {"lambda": 1.0, "k": 4, "p": 2, "aggregation": "standard"},
        ),
        (
            {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.25, "candidates": RANDOM}},
            {"lambda": 0.25, "k": 9, "r": 16, "p": 1, "aggregation": "standard"},
        ),
        ({"name": "vit_tiny", "attention": {"kind": "attention"}}, {}),
        ({"name": "vit_tiny", "attention": {"kind": "kvt", "k": 3}}, {"k": 3}),
        (
            {"name": "vit_tiny", "attention": {"kind": "convnn", "candidates": RANDOM}},
            {"lambda": 1.0, "k": 9, "r": 16, "aggregation": "depthwise"},
        ),
    ],
)
def test_the_headline_has_the_papers_parameters_of_a_model(model: dict[str, Any], found: dict[str, Any]) -> None:
    assert headline(trial(**model)) == {**NOTHING, **found}
