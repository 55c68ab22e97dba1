"""Inputs of the operation."""

import torch
from torch import Tensor

SIMILARITIES = ["cosine", "dot", "euclidean"]


def tensors(*shape: int, seed: int = 0) -> Tensor:
    """Random numbers of a seed, in float64."""
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
