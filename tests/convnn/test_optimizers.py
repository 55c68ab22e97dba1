"""The oracle is torch's own optimizer."""

import copy
import subprocess
import sys

import pytest
import torch
from torch import nn

from convnn import optimizers

CODE = """
import sys
import numpy as np
from convnn import Recipe, TrainState, fit, vgg11
from convnn.data.batches import Batches
from convnn.data.cache import Images
from convnn.data.facts import DATASETS
images = Images(np.zeros((4, 32, 32, 3), np.uint8), np.arange(4))
part = Batches(images, np.arange(4), DATASETS["digits"])
for optimizer in ("adamw", "sgd"):
    recipe = Recipe(epochs=1, batch_size=2, optimizer=optimizer)
    state = TrainState.create(lambda: vgg11(10, 0.5, width=0.0625, classifier_width=16), recipe)
    assert len(list(fit(state, recipe, part, val=part))) == 1
    state.optimizer.load_state_dict(state.optimizer.state_dict())
assert "torch._dynamo" not in sys.modules
"""


@pytest.mark.parametrize("name", ["AdamW", "SGD"])
def test_an_optimizer_does_what_torchs_own_does_to_the_bit(name: str) -> None:
    generator = torch.Generator().manual_seed(0)
    start = torch.randn(3, 5, generator=generator)
    ours, theirs = (nn.Linear(5, 3) for _ in range(2))
    made = []
    for model, source in ((ours, optimizers), (theirs, torch.optim)):
        with torch.no_grad():
            model.weight.copy_(start)
            model.bias.zero_()
        made.append(getattr(source, name)(model.parameters(), lr=0.1, weight_decay=0.01))
    for step in range(6):
        x = torch.randn(4, 5, generator=generator)
        for model, optimizer in zip((ours, theirs), made, strict=True):
            optimizer.zero_grad()
            model(x).square().sum().backward()
            optimizer.step()
        if step == 2:
            made[0].load_state_dict(copy.deepcopy(made[1].state_dict()))
    assert torch.equal(ours.weight, theirs.weight)
    assert torch.equal(ours.bias, theirs.bias)
    assert not torch.equal(ours.weight, start)


def test_training_does_not_load_the_compiler() -> None:
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
