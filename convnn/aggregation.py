"""Neighbors into outputs (paper 4.1, step 3): weigh by rho, then a Conv1d of kernel and stride k.

Shapes: B batch, N query tokens, M tokens, C channels, K neighbors, O output channels.
"""

from typing import Literal, get_args

import torch
from torch import Tensor

Rho = Literal["constant", "softmax"]
RHOS: tuple[Rho, ...] = get_args(Rho)


def gather_rows(tokens: Tensor, neighbors: Tensor) -> Tensor:
    """The neighbors' token rows, `(B, N, K, C)`, for indices `(B, N, K)` or `(N, K)` into `tokens` `(B, M, C)`."""
    batch, count, channels = tokens.shape
    offset = torch.arange(batch, device=tokens.device).view(-1, 1, 1) * count
    rows = tokens.reshape(batch * count, channels).index_select(0, (neighbors + offset).reshape(-1))
    return rows.view(batch, *neighbors.shape[-2:], channels)


def conv_aggregate(neighbors: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
    """Conv1d with kernel and stride k over each token's ordered neighbors, as one matrix product.

    Args:
        neighbors: Token rows in order of rank, `(B, N, K, C)`.
        weight: Conv1d's weight, `(O, C, K)`: one matrix per rank.
        bias: `(O,)` or `None`.

    Returns:
        `(B, N, O)`.
    """
    batch, count, k, channels = neighbors.shape
    matrix = weight.permute(0, 2, 1).reshape(-1, k * channels)  # (O, K * C)
    return torch.nn.functional.linear(neighbors.reshape(batch, count, k * channels), matrix, bias)
