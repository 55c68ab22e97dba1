import math
from typing import Any

import pytest
from pydantic import BaseModel

from search_spaces.models.vgg import ConvNNLayer, HybridLayer
from search_spaces.models.vgg11 import VGG11
from search_spaces.models.vit import LocalAttention, SparseAttention
from search_spaces.reading.fields import (
    discriminator_of,
    forms_of,
    is_valid,
    literal_of,
    models_by_kind,
    models_of,
    names_of,
    rule_of,
)
from search_spaces.settings import Resources, SweepFile
from search_spaces.trial import Data, Training, TrialConfig


@pytest.mark.parametrize(
    ("model", "field", "rule"),
    [
        (Training, "lr", "a number above 0, at most 10"),
        (Training, "epochs", "a whole number, at least 1, at most 100000"),
        (Training, "compile", "true or false"),
        (Training, "optimizer", "one of adamw, sgd"),
        (Training, "clip_norm", "a number above 0 or null"),
        (Data, "name", "one of digits, cifar10, cifar100"),
        (Data, "root", "text, not empty or null"),
        (LocalAttention, "head_dim", "a whole number, at least 1, at most 65536 or null"),
        (
            SparseAttention,
            "context",
            "an odd whole number, 1 to 999999 (the token itself, and the same number on each side)",
        ),
        (Resources, "gpus_per_trial", "a number, 0 to 1 (0.25 lets four trials share a GPU)"),
        (ConvNNLayer, "kind", "convnn"),
        (VGG11, "layer", "a mapping with kind conv2d, convnn or hybrid"),
        (TrialConfig, "model", "a mapping with name vgg11 or vit_tiny"),
        (TrialConfig, "data", "a mapping of name, root, limit"),
    ],
)
def test_a_field_is_described_in_words(model: type[BaseModel], field: str, rule: str) -> None:
    assert rule_of(model.model_fields[field]) == rule


@pytest.mark.parametrize(
    ("field", "value", "expected"),
    [
        ("lr", 1, True),
        ("lr", 0.0, False),
        ("lr", "1", False),
        ("lr", math.nan, False),
        ("epochs", 1.0, False),
        ("epochs", True, False),
        ("clip_norm", None, True),
        ("optimizer", "adam", False),
    ],
)
def test_a_value_is_valid_if_the_model_accepts_it(field: str, value: Any, expected: bool) -> None:
    assert is_valid(Training.model_fields[field], value) == expected


def test_the_models_of_a_field_are_distinguished_by_kind() -> None:
    layer, candidates = VGG11.model_fields["layer"], ConvNNLayer.model_fields["candidates"]
    for info, kinds in (
        (layer, ["conv2d", "convnn", "hybrid"]),
        (candidates, ["all", "random", "strided", "lattice", "even"]),
        (SweepFile.model_fields["search"], ["tpe", "random", "grid"]),
    ):
        models, optional = models_of(info)
        key = discriminator_of(info)
        assert key is not None
        assert not optional
        assert list(models_by_kind(models, key)) == kinds == [literal_of(model, key) for model in models]


def test_a_field_has_its_name_in_the_file() -> None:
    assert names_of(HybridLayer)[-3:] == ["kind", "lambda", "kernel_size"]


@pytest.mark.parametrize(
    ("field", "forms"), [("lr", ["uniform", "log_uniform"]), ("epochs", ["int"]), ("optimizer", []), ("compile", [])]
)
def test_the_domains_that_a_field_accepts_are_listed(field: str, forms: list[str]) -> None:
    assert forms_of(Training.model_fields[field]) == [
        "choice: [a, b, ...]",
        *(f"{form}: [low, high]" for form in forms),
    ]
