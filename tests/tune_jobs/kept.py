"""Create a checkpoint that a sweep has kept."""

import torch

from convnn.training import TrainState
from search_spaces import TrialConfig
from tests.tune_jobs.shipping import Recorded
from tune_jobs.record.folder import checkpoint_path
from tune_jobs.worker.build import build_model, build_recipe

SMALL = TrialConfig.model_validate(
    {
        "data": {"name": "cifar10"},
        "model": {"name": "vgg11", "width": 0.0625, "classifier_width": 16, "layer": {"kind": "convnn", "k": 4}},
    }
)


def checkpointed(sweep: Recorded) -> TrainState:
    """Keep a checkpoint of the sweep's trial `a`, which is `SMALL`, after epoch 3, and return its state."""
    return checkpointed_of(sweep, "a", SMALL)


def checkpointed_of(sweep: Recorded, key: str, config: TrialConfig) -> TrainState:
    """Do the same for any small trial."""
    number = sweep.attempt([1, 2, 3], "complete", trial=key)
    state = TrainState.create(lambda: build_model(config.model, 10), build_recipe(config.training), identity=key)
    with torch.no_grad():
        for weight in state.model.parameters():
            weight.mul_(1.5)
    state.epoch = 3
    state.save(checkpoint_path(sweep.folder.attempt(key, number), 3))
    return state
