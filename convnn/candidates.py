"""Which tokens may become neighbors (paper 4.2): all of them, or r drawn at random."""

from typing import Literal, get_args

import torch
from torch import Tensor

Candidates = Literal["all", "random"]
CANDIDATES: tuple[Candidates, ...] = get_args(Candidates)
WhenTooFew = Literal["error", "all"]


def random_candidates(tokens: int, r: int, device: torch.device | None = None) -> Tensor:
    """Draw `r` of `tokens` token indices without repeats, `(r,)`, from torch's generator of `device`.

    Source: paper 4.2; as published, one draw serves a whole batch and a new one is made at every forward pass.

    Raises:
        ValueError: If `r` is not between 1 and `tokens`.
    """
    if not 1 <= r <= tokens:
        raise ValueError(f"r must be 1 to {tokens} (tokens of the map), got {r=}; try candidates='all'.")
    return torch.randperm(tokens, device=device)[:r]
