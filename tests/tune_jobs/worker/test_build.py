from pathlib import Path

import pytest
from torch import nn

from convnn.data import load_dataset
from convnn.layers import ConvNN2d, HybridBranch2d
from convnn.training import Recipe
from search_spaces import TrialConfig
from search_spaces.base import Factory
from search_spaces.models import MixingLayer, ModelConfig
from search_spaces.settings import Holdout, Paper
from search_spaces.trial import Training
from tune_jobs.worker.build import build_model, build_parts, build_recipe


class Nested(ModelConfig):
    """A model whose arguments are factories, too."""

    name: str = "nested"

    @property
    def mixing_layer(self) -> MixingLayer:
        return MixingLayer()

    def factory(self, classes: int) -> Factory:
        norm = Factory("torch.nn:LayerNorm", {"normalized_shape": classes})
        return Factory("tests.tune_jobs.worker.test_build:made", {"norm": norm, "classes": classes})


def made(norm: type[nn.Module], classes: int) -> nn.Module:
    return nn.Sequential(nn.Linear(3, classes), norm(elementwise_affine=False))


def test_a_model_is_built_by_its_factory_with_its_arguments() -> None:
    linear, norm = build_model(Nested(), 7).children()
    assert isinstance(linear, nn.Linear)
    assert isinstance(norm, nn.LayerNorm)
    assert (linear.out_features, norm.normalized_shape, norm.elementwise_affine) == (7, (7,), False)


def test_a_model_is_built_as_configured() -> None:
    layer = {"kind": "hybrid", "lambda": 0.5, "k": 3, "candidates": {"kind": "random", "r": 8}}
    trial = TrialConfig.model_validate({"model": {"name": "vgg11", "width": 0.0625, "layer": layer}})
    branch = build_model(trial.model, 10).get_submodule("features.0")
    assert isinstance(branch, HybridBranch2d)
    assert isinstance(branch.convnn, ConvNN2d)
    assert (branch.lam, branch.convnn.k, branch.convnn.rule.r) == (0.5, 3, 8)


def test_layers_by_depth_are_built_for_their_stages() -> None:
    layers = {"conv1-conv7": {"kind": "conv2d"}, "conv8": {"kind": "hybrid", "lambda": 0.5, "k": 3}}
    trial = TrialConfig.model_validate({"model": {"name": "vgg11", "width": 0.0625, "layers": layers}})
    branches = [part for part in build_model(trial.model, 10).modules() if isinstance(part, HybridBranch2d)]
    assert [part.lam for part in branches] == [0, 0, 0, 0, 0, 0, 0, 0.5]


def test_a_recipe_has_the_training_settings_of_the_configuration() -> None:
    assert build_recipe(Training(lr=0.5, seed=3)) == Recipe(lr=0.5, seed=3)


@pytest.mark.parametrize("limit", [None, 100])
def test_holdout_opens_no_test_images_and_paper_holds_none_out(tmp_path: Path, limit: int | None) -> None:
    data = load_dataset("digits", cache=tmp_path)
    held = build_parts(data, limit, Holdout(fraction=0.2), "cpu")
    assert held.val is not None
    assert held.test is None
    paper = build_parts(data, limit, Paper(protocol="paper"), "cpu")
    assert paper.val is None
    assert paper.test is not None
    assert len(held.train) + len(held.val) == len(paper.train)
    if limit is None:
        assert (len(paper.train), len(paper.test)) == (data.facts.train_images, data.facts.test_images)
    else:
        assert abs(len(paper.train) - limit) < 10 > abs(len(paper.test) - limit)
