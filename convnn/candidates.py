"""Candidates: the tokens that may become neighbors (paper 4.2.2): all of them, random ones, or a grid."""

from dataclasses import dataclass

import torch
from torch import Tensor

from convnn.checks import require_count, require_one_of
from convnn.constants import constant
from convnn.geometry import CANDIDATE_KINDS, CandidateKind, WhenTooFew, candidate_count, padded_tokens

EVALUATION_SEED = 0
"""Seed of the single draw of a layer with `fixed_at_evaluation`."""

_AMOUNT = {"random": "r", "even": "r", "strided": "stride", "lattice": "side"}


@dataclass(frozen=True)
class CandidateRule:
    """The rule that selects candidates, for any shape.

    Source: paper 4.2.2. As published, the whole batch shares one draw, and there is a new draw at every forward pass,
    also during evaluation. With `fixed_at_evaluation`, evaluation is repeatable: it always uses the same draw and does
    not touch torch's generators.

    Raises:
        ValueError: If an option is unknown, is not allowed for the kind, or is out of range.
    """

    kind: CandidateKind = "all"
    k: int = 9
    r: int | None = None
    stride: int | None = None
    side: int | None = None
    when_too_few: WhenTooFew = "error"
    fixed_at_evaluation: bool = False

    def __post_init__(self) -> None:
        require_one_of("candidates", self.kind, CANDIDATE_KINDS)
        require_one_of("when_too_few", self.when_too_few, ("error", "all"))
        require_count("k", self.k)
        for name in ("r", "stride", "side"):
            value = getattr(self, name)
            kinds = [kind for kind, amount in _AMOUNT.items() if amount == name]
            if (value is not None) != (self.kind in kinds):
                only = " or ".join(f"candidates={kind!r}" for kind in kinds)
                raise ValueError(
                    f"{name} must be set for {only} and only for it, got candidates={self.kind!r}, {name}={value}."
                )
            if value is not None:
                require_count(name, value)
        if self.r is not None and self.r < self.k:
            raise ValueError(f"r must be at least k, so that k neighbors can be found, got k={self.k}, r={self.r}.")
        if self.side is not None and self.side**2 < self.k:
            raise ValueError(f"side x side must be at least k, got k={self.k}, side={self.side}.")
        if self.fixed_at_evaluation and self.kind != "random":
            raise ValueError(f"fixed_at_evaluation needs candidates='random', got candidates={self.kind!r}.")

    def count(self, shape: tuple[int, ...], padding: int = 0) -> int:
        """Return the number of candidates of a map or sequence; see `convnn.geometry.candidate_count`."""
        return candidate_count(
            shape,
            self.kind,
            k=self.k,
            r=self.r,
            stride=self.stride,
            side=self.side,
            padding=padding,
            when_too_few=self.when_too_few,
        )

    def in_ring(self, shape: tuple[int, ...], padding: int = 0) -> bool:
        """Return whether candidates may lie in the ring around a map of this shape; never for a grid on a large map.

        Raises:
            ValueError: If there are too few tokens.
        """
        if padding == 0 or self.kind in ("all", "random"):
            return padding > 0
        return self.count(shape, padding) == padded_tokens(shape, padding)  # with too few tokens it takes `all`

    def indices(
        self, shape: tuple[int, ...], padding: int = 0, *, training: bool = True, device: torch.device | None = None
    ) -> Tensor | None:
        """Return the candidates, `(R,)`, numbered row by row over the padded map; `None` means all of its tokens.

        If all tokens are candidates, nothing is drawn, so r = tokens equals `all` bit for bit.

        Args:
            shape: `(length,)` or `(height, width)` in tokens.
            padding: Width of the ring of zero tokens around it.
            training: Whether the layer is in training mode.
            device: Device of the result.

        Raises:
            ValueError: If there are too few tokens.
        """
        count = self.count(shape, padding)
        tokens = padded_tokens(shape, padding)
        if self.kind == "all" or count == tokens:
            return None
        if self.kind == "random":
            return random_candidates(tokens, count, device, fixed=self.fixed_at_evaluation and not training)
        own = own_tokens(shape, padding, device)
        if self.kind == "even":
            return own[along(own.numel(), count, device)]
        grid = own.view(shape)
        for axis, length in enumerate(shape):
            if self.side is not None:
                kept = spread(length, self.side, device)
            else:
                kept = torch.arange(0, length, self.stride or 1, device=device)
            grid = grid.index_select(axis, kept)
        return grid.flatten()


def random_candidates(tokens: int, r: int, device: torch.device | None = None, *, fixed: bool = False) -> Tensor:
    """Draw `r` of `tokens` token indices without repetition, `(r,)`, from torch's generator of `device`.

    Args:
        tokens: Number of tokens.
        r: Number of indices to draw.
        device: Device of the generator and of the result.
        fixed: Return the same draw at every call, on every device, from a separate generator.
    """
    if fixed:
        draws = torch.Generator().manual_seed(EVALUATION_SEED)
        return torch.randperm(tokens, generator=draws, device="cpu")[:r].to(device)
    return torch.randperm(tokens, device=device)[:r]


@constant
def along(length: int, count: int, device: torch.device | None = None) -> Tensor:
    """Return `count` positions along a sequence, rounded down in single precision as in the published runs.

    For 1,030 of 59,900 pairs of length and count, one position is one less than that of `spread`.
    """
    return torch.linspace(0, length - 1, count, dtype=torch.float32, device="cpu").long().to(device)


@constant
def spread(length: int, count: int, device: torch.device | None = None) -> Tensor:
    """Return `count` positions over `0 .. length - 1`, ends included: i (length - 1) / (count - 1), rounded down."""
    return torch.arange(count, device=device) * (length - 1) // max(1, count - 1)


@constant
def own_tokens(shape: tuple[int, ...], padding: int, device: torch.device | None = None) -> Tensor:
    """Return the indices, `(N,)`, of the map's own tokens among those of the padded map."""
    index = torch.zeros(1, dtype=torch.int64, device=device)
    for side in shape:
        index = (index.unsqueeze(-1) * (side + 2 * padding) + torch.arange(side, device=device) + padding).flatten()
    return index


def own_positions(queries: Tensor, candidate_index: Tensor | None, tokens: int) -> Tensor:
    """Return each query's position among the candidates, `(N,)`; -1 if it is not a candidate.

    Args:
        queries: Query tokens, `(N,)`, as indices into all `tokens`.
        candidate_index: Candidates, `(R,)`; `None` means all tokens in order.
        tokens: Number of tokens.
    """
    if candidate_index is None:
        return queries
    count = candidate_index.numel()
    place = torch.full((tokens,), -1, dtype=torch.int64, device=queries.device)
    place = place.index_copy(0, candidate_index, torch.arange(count, device=queries.device))
    return place[queries]


def require_enough(candidate_index: Tensor, k: int, tokens: int) -> None:
    """Raise ValueError unless the given candidates are valid tokens, and at least k."""
    count = candidate_index.numel()
    if candidate_index.dim() != 1 or candidate_index.dtype != torch.int64:
        raise ValueError(
            f"candidate_index must be (R,) of int64, got {tuple(candidate_index.shape)} of {candidate_index.dtype}; "
            f"the whole batch shares one list of candidates."
        )
    if not k <= count <= tokens:
        raise ValueError(
            f"candidate_index must contain at least k and at most all {tokens} tokens, got {count} with {k=}; "
            f"add tokens, or use a smaller k."
        )


def require_self_score(self_score: float | None, *, self_first: bool, softmax: bool) -> None:
    """Raise ValueError if a fixed score for the token itself would not be used."""
    if self_score is not None and not (self_first and softmax):
        raise ValueError(
            f"self_score needs self_first=True and rho='softmax', got {self_first=}, {self_score=}, {softmax=}; "
            f"leave it None."
        )
