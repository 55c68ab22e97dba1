"""The image layers: ConvNN2d, and HybridBranch2d, which mixes it with a convolution by lambda.

Shapes: B batch, C input channels, O output channels, H and W the sides of the map.
"""

import math
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.aggregation import RHOS, Rho, conv_aggregate, gather_rows
from convnn.candidates import CANDIDATES, Candidates, WhenTooFew, random_candidates
from convnn.geometry import convnn_channels
from convnn.selection import select_neighbors, window_neighbors
from convnn.similarity import SIMILARITIES, Similarity, neighbor_similarity

Position = Literal["none", "only"]


class ConvNN2d(nn.Module):
    """A convolution over each token's k most similar tokens instead of its nearest pixels.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1 (the operation), 4.2 (candidates), 5.1 (position).
    Where the published runs add to the text, it is an option: `padding` is a ring of zero tokens that joins the
    candidates but asks nothing, and `self_first` makes each token its own first neighbor.

    Args:
        in_channels: C.
        out_channels: O.
        k: Neighbors per token.
        similarity: `cosine` or `euclidean`.
        rho: `constant` weighs every neighbor 1; `softmax` weighs them by the softmax of their similarities.
        candidates: `all` tokens, or `random`: `r` of them, drawn anew at every forward pass, in evaluation too.
        r: Number of random candidates, ring included.
        when_too_few: On a map with fewer than `r` tokens: `error`, or take `all`.
        padding: Width of the ring of zero tokens.
        self_first: Whether each token is its own first neighbor.
        position: `none` chooses by features; `only` chooses the square window around the token in reading order,
            which is `nn.Conv2d` with a kernel of side sqrt(k).

    Raises:
        ValueError: If an option is unknown, or the options contradict each other.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        k: int = 9,
        *,
        similarity: Similarity = "cosine",
        rho: Rho = "constant",
        candidates: Candidates = "all",
        r: int | None = None,
        when_too_few: WhenTooFew = "error",
        padding: int = 1,
        self_first: bool = True,
        position: Position = "none",
    ) -> None:
        super().__init__()
        for name, value, valid in (
            ("similarity", similarity, SIMILARITIES),
            ("rho", rho, RHOS),
            ("candidates", candidates, CANDIDATES),
            ("position", position, ("none", "only")),
            ("when_too_few", when_too_few, ("error", "all")),
        ):
            if value not in valid:
                raise ValueError(f"{name} must be one of {', '.join(valid)}, got {name}={value!r}.")
        if k < 1 or padding < 0:
            raise ValueError(f"k must be at least 1 and padding at least 0, got {k=}, {padding=}.")
        if (r is None) == (candidates == "random"):
            raise ValueError(f"r goes with candidates='random' and only with it, got {candidates=}, {r=}.")
        if r is not None and not k <= r:
            raise ValueError(f"r must be at least k, so that k neighbors can be found, got {k=}, {r=}.")
        side = math.isqrt(k)
        if position == "only" and (side * side != k or side % 2 == 0 or padding < side // 2):
            raise ValueError(
                f"position='only' needs k = 1, 9, 25, ... and a ring of at least half the window, got {k=}, {padding=}."
            )
        if position == "only" and (rho != "constant" or candidates != "all"):
            raise ValueError(f"position='only' takes rho='constant' and all candidates, got {rho=}, {candidates=}.")
        self.k = k
        self.similarity: Similarity = similarity
        self.rho: Rho = rho
        self.r = r
        self.when_too_few: WhenTooFew = when_too_few
        self.padding = padding
        self.self_first = self_first
        self.position: Position = position
        self.conv = nn.Conv1d(in_channels, out_channels, kernel_size=k, stride=k)

    def forward(self, x: Tensor, candidate_index: Tensor | None = None) -> Tensor:
        """Map `(B, C, H, W)` to `(B, O, H, W)`.

        Args:
            x: The map.
            candidate_index: The candidates to choose from, `(R,)`, counted row by row over the padded map, instead of
                a draw.
        """
        batch, _, height, width = x.shape
        padded = F.pad(x, (self.padding,) * 4)
        tokens = padded.flatten(2).mT.contiguous()  # (B, M, C): a neighbor is one contiguous row
        neighbors = gather_rows(tokens, self._neighbors(tokens, height, width, candidate_index))
        if self.rho == "softmax":
            query = x.flatten(2).mT  # (B, N, C)
            weights = neighbor_similarity(query, neighbors, self.similarity).softmax(dim=-1)
            neighbors = neighbors * weights.unsqueeze(-1)
        output = conv_aggregate(neighbors, self.conv.weight, self.conv.bias)
        return output.mT.reshape(batch, -1, height, width)

    def _neighbors(self, tokens: Tensor, height: int, width: int, candidate_index: Tensor | None) -> Tensor:
        device = tokens.device
        if self.position == "only":
            return window_neighbors(height, width, math.isqrt(self.k), self.padding, device)
        count = tokens.shape[1]
        if candidate_index is None and self.r is not None and not (self.r >= count and self.when_too_few == "all"):
            candidate_index = random_candidates(count, self.r, device)
        return select_neighbors(
            tokens,
            inner_tokens(height, width, self.padding, device),
            self.k,
            similarity=self.similarity,
            candidate_index=candidate_index,
            self_first=self.self_first,
        )

    def extra_repr(self) -> str:
        """The options, for `print(layer)`."""
        return (
            f"k={self.k}, similarity={self.similarity!r}, rho={self.rho!r}, r={self.r}, padding={self.padding}, "
            f"self_first={self.self_first}, position={self.position!r}"
        )


def inner_tokens(height: int, width: int, padding: int, device: torch.device | None = None) -> Tensor:
    """The indices, `(H * W,)`, of the map's own tokens among those of the padded map."""
    row = torch.arange(height, device=device).unsqueeze(-1) + padding
    column = torch.arange(width, device=device) + padding
    return (row * (width + 2 * padding) + column).flatten()


class HybridBranch2d(nn.Module):
    """ConvNN and a convolution side by side, joined by a 1x1 convolution.

    Source: paper 4.3 and the published layer: ConvNN gives int(lambda x O) channels and comes first, the convolution
    gives the rest, both read all input channels, and a 1x1 `fuse` with bias follows even when a branch is empty.

    Args:
        in_channels: C.
        out_channels: O.
        lam: lambda, the share of output channels from ConvNN, 0 to 1.
        kernel_size: Odd side of the convolution's kernel; its padding keeps the map's size.
        **convnn: Options of the ConvNN2d branch; unused where lambda leaves it no channel.

    Raises:
        ValueError: If `lam` is outside [0, 1] or `kernel_size` is even.
    """

    def __init__(
        self, in_channels: int, out_channels: int, lam: float, *, kernel_size: int = 3, **convnn: object
    ) -> None:
        super().__init__()
        if not 0.0 <= lam <= 1.0:
            raise ValueError(f"lambda must be 0 (convolution) to 1 (ConvNN), got {lam=}.")
        if kernel_size < 1 or kernel_size % 2 == 0:
            raise ValueError(f"kernel_size must be odd, so that the map keeps its size, got {kernel_size=}.")
        n_convnn = convnn_channels(out_channels, lam)
        n_conv = out_channels - n_convnn
        self.convnn = ConvNN2d(in_channels, n_convnn, **convnn) if n_convnn else None  # type: ignore[arg-type]
        self.conv = nn.Conv2d(in_channels, n_conv, kernel_size, padding=kernel_size // 2) if n_conv else None
        self.fuse = nn.Conv2d(out_channels, out_channels, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        """Map `(B, C, H, W)` to `(B, O, H, W)`."""
        branches = [branch(x) for branch in (self.convnn, self.conv) if branch is not None]
        fused: Tensor = self.fuse(torch.cat(branches, dim=1) if len(branches) > 1 else branches[0])
        return fused
