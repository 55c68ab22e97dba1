"""Building blocks of softmax attention: scaled dot-product attention, a band around each token, rotary positions.

Shapes: B batch, H heads, N tokens, d channels of a head.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

from convnn.dropout import draws_words, dropout


def banded(query: Tensor, key: Tensor, value: Tensor, reach: int, rate: float) -> Tensor:
    """Call `attend` on the tokens within a distance of `reach`."""
    place = torch.arange(query.shape[-2], device=query.device)
    near = (place.unsqueeze(-1) - place).abs() <= reach  # (N, N)
    return attend(query, key, value, rate, near)


def attend(query: Tensor, key: Tensor, value: Tensor, rate: float, near: Tensor | None = None) -> Tensor:
    """Compute scaled dot-product attention, `(B, H, N, d)` each.

    It calls torch's function. For dropout on the CPU, where torch has no fused kernel, it computes the definition with
    fast random draws.

    Args:
        query: Queries.
        key: Keys.
        value: Values.
        rate: Dropout rate on the weights.
        near: The keys that each query attends to, `(N, N)`; all if `None`.
    """
    if rate == 0 or not draws_words(query):
        return F.scaled_dot_product_attention(query, key, value, attn_mask=near, dropout_p=rate)
    scores = (query * query.shape[-1] ** -0.5) @ key.mT
    if near is not None:
        scores = scores.masked_fill(~near, -torch.inf)
    weights = scores.softmax(dim=-1, dtype=torch.promote_types(scores.dtype, torch.float32))
    return dropout(weights, rate, training=True).to(value.dtype) @ value


def rotate(tokens: Tensor, shift: int = 0, base: float = 10_000.0) -> Tensor:
    """Apply rotary positions: rotate channel pairs (i, i + d/2) by the token's position times base^(-2i/d).

    Args:
        tokens: `(..., N, d)`.
        shift: Added to every position.
        base: Base of the angles' geometric sequence.
    """
    half = tokens.shape[-1] // 2
    wide = torch.promote_types(tokens.dtype, torch.float32)
    place = torch.arange(tokens.shape[-2], device=tokens.device, dtype=wide) + shift
    speed = base ** (-torch.arange(half, device=tokens.device, dtype=wide) / half)
    angle = place.unsqueeze(-1) * speed  # (N, d / 2)
    cos, sin = angle.cos().to(tokens.dtype), angle.sin().to(tokens.dtype)
    first, second = tokens[..., :half], tokens[..., half:]
    return torch.cat([first * cos - second * sin, second * cos + first * sin], dim=-1)
