"""Count the torch operations on the CPU. On a GPU, launching an operation often takes most of its time.

Views are not counted; operations inside custom functions and their gradients are. The counts are the same for any batch
size. The comment beside each budget is the count of version 0.1.0.
"""

import numpy as np
import torch
from torch import Tensor

from benchmarks.gpu.watching import Operations
from convnn.data.batches import Batches
from convnn.data.cache import Images
from convnn.data.facts import DATASETS
from convnn.layers import ConvNN2d
from convnn.models.vgg import vgg11
from convnn.models.vit import vit_tiny
from convnn.training import Recipe, TrainState, fit


def of_forward(module: torch.nn.Module, images: Tensor) -> int:
    module(images)  # fills the caches per shape
    seen = Operations()
    with seen:
        module(images)
    return seen.count


def of_both(module: torch.nn.Module, images: Tensor) -> int:
    module(images)
    seen = Operations()
    with seen:
        module(images).sum().backward()
    return seen.count


def test_convnn2d_forward() -> None:
    assert of_forward(ConvNN2d(64, 128, 9), torch.randn(32, 64, 16, 16)) <= 49  # 83


def test_vit_with_32_candidates_forward_and_backward() -> None:
    model = vit_tiny(10, "convnn", candidates="random", r=32)
    assert of_both(model, torch.randn(2, 3, 32, 32)) <= 945  # 1,575


def test_a_step_of_vgg_at_lambda_one_half() -> None:
    rng = np.random.default_rng(0)
    images = Images(rng.integers(0, 256, (96, 32, 32, 3), dtype=np.uint8), rng.integers(0, 10, 96))
    one, three = (Batches(images, np.arange(32 * steps), DATASETS["cifar10"]) for steps in (1, 3))
    recipe = Recipe(batch_size=32, epochs=1000, augmentation="flip_shift")  # so that no neighbors are cached
    state = TrainState.create(lambda: vgg11(10, 0.5, width=0.125, classifier_width=512), recipe)
    next(iter(fit(state, recipe, three)))
    counts = []
    for part in (one, three):
        seen = Operations()
        with seen:
            next(iter(fit(state, recipe, part)))
        counts.append(seen.count)
    assert (counts[1] - counts[0]) / 2 <= 720  # 2,380 without flips
