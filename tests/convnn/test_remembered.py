import copy
from typing import Any
from unittest import mock

import pytest
import torch
from torch import Tensor

from convnn import layers
from convnn.layers import ConvNN2d
from convnn.models.vgg import vgg11
from convnn.remembered import Remembered
from convnn.selection import select_neighbors
from convnn.training import Recipe, TrainState


def searches(layer: torch.nn.Module, images: Tensor) -> int:
    """Count the neighbor searches for an image or a batch."""
    with pytest.MonkeyPatch.context() as patch, torch.no_grad():
        seen = mock.Mock(side_effect=select_neighbors)
        patch.setattr(layers, "select_neighbors", seen)
        layer(images)
    return seen.call_count


OPTIONS: list[dict[str, Any]] = [
    {},
    {"padding": 0, "self_first": False, "similarity": "euclidean"},
    {"k": 4, "candidates": "lattice", "side": 5},
    {"position": "both", "position_scaling": "std", "patch": 2},
    {"k": 1},
]


@pytest.mark.parametrize("options", OPTIONS, ids=str)
def test_the_cache_changes_no_bit(options: dict[str, Any]) -> None:
    torch.manual_seed(0)
    plain = ConvNN2d(3, 5, **options)
    remembering = copy.deepcopy(plain)
    remembering.remembered = Remembered()
    images = torch.randn(12, 3, 16, 16)
    for batch in (images[:5], images[3:], images.flip(0), images[:1]):
        outputs = [layer(batch) for layer in (plain, remembering)]
        assert torch.equal(*outputs)
        for output in outputs:
            output.square().sum().backward()
    for one, other in zip(plain.parameters(), remembering.parameters(), strict=True):
        assert torch.equal(one.grad, other.grad)  # type: ignore[arg-type]
    assert len(remembering.remembered) == 12


def test_an_image_is_searched_once_and_one_changed_bit_makes_another_image() -> None:
    layer = ConvNN2d(3, 5)
    layer.remembered = Remembered()
    images = torch.randn(4, 3, 8, 8)
    assert searches(layer, images) > 0
    assert searches(layer, images.flip(0)) == 0
    images[2, 1, 3, 3] = torch.nextafter(images[2, 1, 3, 3], torch.tensor(9.0))
    assert searches(layer, images) == 1


@pytest.mark.parametrize("options", [{"candidates": "random", "r": 20}, {"projections": "linear"}, {"rho": "softmax"}])
def test_neighbors_that_depend_on_more_than_the_image_are_not_cached(options: dict[str, Any]) -> None:
    layer = ConvNN2d(3, 5, **options)
    layer.remembered = Remembered()
    layer(torch.randn(2, 3, 8, 8))
    assert len(layer.remembered) == 0


def test_the_cache_is_bounded_and_copies_start_empty() -> None:
    layer = ConvNN2d(3, 5)
    one_image = 64 * 8 * 2
    layer.remembered = Remembered(most_bytes=3 * one_image + 1)
    images = torch.randn(5, 3, 8, 8)
    first = layer(images)
    assert len(layer.remembered) == 3
    assert torch.equal(layer(images), first)
    copied = copy.deepcopy(layer).remembered
    assert copied is not None
    assert len(copied) == 0


@pytest.mark.parametrize(("augmentation", "remembers"), [("none", True), ("flip_shift", False)])
def test_training_caches_neighbors_if_images_repeat(augmentation: Any, remembers: Any) -> None:
    state = TrainState.create(
        lambda: vgg11(10, 0.5, width=1 / 32, classifier_width=4), Recipe(augmentation=augmentation)
    )
    layers = [part for part in state.model.modules() if isinstance(part, ConvNN2d)]
    assert [part.remembered is not None for part in layers] == [remembers] + 7 * [False]
