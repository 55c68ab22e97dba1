"""A saved model is built only by this package and by packages that add models."""

import json
from pathlib import Path
from typing import Any

import pytest
from torch import nn

from convnn.checkpoint import CheckpointError
from convnn.plugins import LAYERS, made
from convnn.saved import MODEL, Meaning, load_classifier, save_classifier
from tests.installing import installed, write_plugin

SMALL = {"num_classes": 3, "width": 1 / 16, "classifier_width": 4}
MEANING = Meaning((0.5,) * 3, (0.5,) * 3, ("a", "b", "c"), 0)


def saved(folder: Path, **arguments: Any) -> Path:
    plain = {"target": "convnn.models.vgg:vgg11", "arguments": SMALL | arguments}
    weights = made({"target": "convnn.models.vgg:vgg11", "arguments": SMALL})().state_dict()
    save_classifier(folder, plain, weights, MEANING)
    return folder


def test_layers_by_depth_survive_saving_and_loading(tmp_path: Path) -> None:
    layer = {"target": "convnn.layers:HybridBranch2d", "arguments": {"lam": 0.0}}
    loaded = load_classifier(saved(tmp_path, layers={"conv1-conv4": {"lam": 0.0}, "conv5-conv8": {"layer": layer}}))
    assert {part.lam for part in loaded.model.modules() if hasattr(part, "lam")} == {0.0}


@pytest.mark.parametrize(
    ("model", "got"),
    [
        ({"target": "convnn.plugins:import_module", "arguments": {"name": "this"}}, "convnn.plugins:import_module"),
        ({"target": "convnn.checkpoint:save_checkpoint", "arguments": {}}, "convnn.checkpoint:save_checkpoint"),
        ({"target": "convnn.models.vgg:vgg11", "arguments": {"x": [{"target": "os:system", "y": 0}]}}, "os:system"),
        ({"target": "convnn.models.vgg:vgg11", "arguments": {"x": {"target": "os:system", "y": 0}}}, "os:system"),
    ],
)
def test_only_builders_of_models_are_called(tmp_path: Path, model: Any, got: str) -> None:
    folder = saved(tmp_path)
    content = json.loads((folder / MODEL).read_text())
    (folder / MODEL).write_text(json.dumps({**content, "model": model}))
    with pytest.raises(CheckpointError, match=f"its model must be built by .* got {got}"):
        load_classifier(folder)


def test_a_plugin_may_build_layers_with_a_class_of_torch_or_a_partial(tmp_path: Path) -> None:
    code = "from functools import partial\nfrom torch.nn import Conv2d\nsmall = partial(Conv2d, padding=1)\n"
    with installed(write_plugin(tmp_path / "site", "zz", {"zz_kinds.py": code}, {LAYERS: "zz = zz_kinds:Zz"})):
        for target, options in (("zz_kinds:Conv2d", {"padding": 1}), ("zz_kinds:small", {})):
            layer = {"target": target, "arguments": {"kernel_size": 3, **options}}
            plain = {"target": "convnn.models.vgg:vgg11", "arguments": SMALL | {"layer": layer}}
            save_classifier(tmp_path, plain, made(plain)().state_dict(), MEANING)
            assert isinstance(load_classifier(tmp_path).model.get_submodule("features.0"), nn.Conv2d)


def test_a_foreign_target_inside_a_mapping_is_refused(tmp_path: Path) -> None:
    layer = {"target": "os:system", "arguments": {"command": "true"}}
    folder = saved(tmp_path, layers={"conv1-conv4": {"lam": 0.0}, "conv5-conv8": {"layer": layer}})
    with pytest.raises(CheckpointError, match="got os:system"):
        load_classifier(folder)
