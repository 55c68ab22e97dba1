"""Convolutional nearest neighbors (ConvNN): the operation, the models, the data and the training loop.

Source: Kang and Rocha Neto, "Attention Via Convolutional Nearest Neighbors", arXiv:2511.14137.
Names are loaded on first use, so that `convnn.geometry` and `convnn.data` stay usable without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convnn.data import load_dataset
    from convnn.layers import ConvNN2d, HybridBranch2d
    from convnn.models.vgg import VGG, vgg11
    from convnn.training import EpochResult, Recipe, TrainState, fit

__all__ = [
    "VGG",
    "ConvNN2d",
    "EpochResult",
    "HybridBranch2d",
    "Recipe",
    "TrainState",
    "fit",
    "load_dataset",
    "vgg11",
]

_HOMES = {
    "ConvNN2d": "convnn.layers",
    "HybridBranch2d": "convnn.layers",
    "VGG": "convnn.models.vgg",
    "vgg11": "convnn.models.vgg",
    "load_dataset": "convnn.data",
    "EpochResult": "convnn.training",
    "Recipe": "convnn.training",
    "TrainState": "convnn.training",
    "fit": "convnn.training",
}


def __getattr__(name: str) -> object:
    if name not in _HOMES:
        raise AttributeError(f"module 'convnn' has no attribute {name!r}; it has {', '.join(__all__)}.")
    return getattr(import_module(_HOMES[name]), name)
