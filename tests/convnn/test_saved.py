"""A saved model is built only by this package and by packages that add models."""

from pathlib import Path
from typing import Any

import pytest

from convnn.checkpoint import CheckpointError
from convnn.saved import Meaning, load_classifier, made, save_classifier

SMALL = {"num_classes": 3, "width": 1 / 16, "classifier_width": 4}


def saved(folder: Path, **arguments: Any) -> Path:
    plain = {"target": "convnn.models.vgg:vgg11", "arguments": SMALL | arguments}
    weights = made({"target": "convnn.models.vgg:vgg11", "arguments": SMALL})().state_dict()
    save_classifier(folder, plain, weights, Meaning((0.5,) * 3, (0.5,) * 3, ("a", "b", "c"), 0))
    return folder


def test_layers_by_depth_survive_saving_and_loading(tmp_path: Path) -> None:
    layer = {"target": "convnn.layers:HybridBranch2d", "arguments": {"lam": 0.0}}
    loaded = load_classifier(saved(tmp_path, layers={"conv1-conv4": {"lam": 0.0}, "conv5-conv8": {"layer": layer}}))
    assert {part.lam for part in loaded.model.modules() if hasattr(part, "lam")} == {0.0}


def test_a_foreign_target_inside_a_mapping_is_refused(tmp_path: Path) -> None:
    layer = {"target": "os:system", "arguments": {"command": "true"}}
    folder = saved(tmp_path, layers={"conv1-conv4": {"lam": 0.0}, "conv5-conv8": {"layer": layer}})
    with pytest.raises(CheckpointError, match="got os:system"):
        load_classifier(folder)
