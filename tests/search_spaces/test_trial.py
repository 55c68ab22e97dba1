"""Compare facts that both trials and `convnn` define, because `convnn` must not depend on trials."""

from dataclasses import fields
from typing import get_type_hints

import pytest
from pydantic import ValidationError

from convnn.data.facts import DATASETS
from convnn.data.sources import DEFAULT_ROOT
from search_spaces import TrialConfig
from search_spaces.memory import OPTIMIZER_BYTES
from search_spaces.reading.fields import literals_of
from search_spaces.trial import Data, Training


def test_training_has_the_fields_the_words_and_the_defaults_of_the_recipe() -> None:
    from convnn.training import Recipe

    recipe = {field.name: (get_type_hints(Recipe)[field.name], field.default) for field in fields(Recipe)}
    training = {name: (info.annotation, info.default) for name, info in Training.model_fields.items()}
    assert training == recipe


def test_memory_is_known_for_every_optimizer() -> None:
    assert set(literals_of(Training.model_fields["optimizer"])) == set(OPTIMIZER_BYTES)


def test_only_known_data_sets_can_be_used() -> None:
    info = Data.model_fields["name"]
    assert literals_of(info) == list(DATASETS)
    with pytest.raises(ValidationError, match="Input should be 'digits', 'cifar10' or 'cifar100'"):
        Data(name="mnist")
    assert DEFAULT_ROOT in (Data.model_fields["root"].description or "")


def test_text_is_not_a_number_and_unknown_fields_are_rejected() -> None:
    layer = {"kind": "conv2d"}
    for wrong in ({"lr": "1"}, {"lrr": 1}, {"epochs": 1.5}, {"compile": 1}):
        with pytest.raises(ValidationError):
            TrialConfig.model_validate({"model": {"name": "vgg11", "layer": layer}, "training": wrong})
