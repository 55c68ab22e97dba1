"""Convolutional nearest neighbors (ConvNN): the operation, the models, the data and the training loop.

Source: Kang and Rocha Neto, "Attention Via Convolutional Nearest Neighbors", arXiv:2511.14137.
Names are loaded on first use, so `convnn.geometry` and `convnn.data` can be used without torch.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from convnn.attention import ConvNNAttention, KVTAttention, LocalAttention, SelfAttention, SparseAttention
    from convnn.cost import Cost, measure_cost
    from convnn.data import load_dataset
    from convnn.layers import ConvNN1d, ConvNN2d, HybridBranch1d, HybridBranch2d
    from convnn.models.vgg import VGG, vgg11
    from convnn.models.vit import ViT, vit, vit_tiny
    from convnn.training import EpochResult, Recipe, TrainState, fit

__all__ = [
    "VGG",
    "ConvNN1d",
    "ConvNN2d",
    "ConvNNAttention",
    "Cost",
    "EpochResult",
    "HybridBranch1d",
    "HybridBranch2d",
    "KVTAttention",
    "LocalAttention",
    "Recipe",
    "SelfAttention",
    "SparseAttention",
    "TrainState",
    "ViT",
    "fit",
    "load_dataset",
    "measure_cost",
    "vgg11",
    "vit",
    "vit_tiny",
]

_HOMES = {
    "ConvNN1d": "convnn.layers",
    "ConvNN2d": "convnn.layers",
    "HybridBranch1d": "convnn.layers",
    "HybridBranch2d": "convnn.layers",
    "SelfAttention": "convnn.attention",
    "ConvNNAttention": "convnn.attention",
    "KVTAttention": "convnn.attention",
    "LocalAttention": "convnn.attention",
    "SparseAttention": "convnn.attention",
    "VGG": "convnn.models.vgg",
    "vgg11": "convnn.models.vgg",
    "ViT": "convnn.models.vit",
    "vit": "convnn.models.vit",
    "vit_tiny": "convnn.models.vit",
    "Cost": "convnn.cost",
    "measure_cost": "convnn.cost",
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
