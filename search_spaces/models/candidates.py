"""Shared by all models: the selection of candidate tokens, and the options of ConvNN."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any, ClassVar, Literal, Protocol, Self

from pydantic import Field

from convnn.geometry import CandidateKind, TooFewTokens, candidate_count, padded_tokens, vgg11_stages
from search_spaces.base import Config, Decides, Infeasible
from search_spaces.domains import every, largest_up_to, null_or_not, smallest
from search_spaces.plurals import plural

WIDEST_RING = 15
"""The largest `padding` of a layer."""

_SIDES = sorted({stage.side for stage in vgg11_stages() if stage is not None})
_MAP_SIDES = {side // patch for side in _SIDES for patch in range(1, side + 1) if side % patch == 0}
_MAP_TOKENS = {
    (side // patch + 2 * ring) ** 2
    for side in _SIDES
    for patch in (1, 2, 4, 8, 16, 32)
    if side % patch == 0
    for ring in range(WIDEST_RING + 1)
} | {n * n + 1 for n in range(1, 1025)}
"""Numbers of tokens of maps with their rings, and of sequences with their class token."""

WhenTooFew = Annotated[
    Literal["error", "all"],
    Field(description="If a map has fewer tokens than requested: fail (error), or take all of them (all)."),
    Decides(every),
]


@dataclass(frozen=True)
class TokenGrid:
    """The tokens of one ConvNN layer: the layer's name, and the tokens' shape after patching and without the ring."""

    name: str
    shape: tuple[int, ...]


_COUNTED = ("r", "stride", "side", "when_too_few")
"""Options that determine the number of candidates."""


class _Candidates(Config):
    kind: CandidateKind

    def count(self, shape: tuple[int, ...], k: int, padding: int, **changed: Any) -> int:  # noqa: ANN401
        """Call `convnn.geometry.candidate_count`; `changed` overrides options."""
        options = {name: value for name, value in self if name in _COUNTED} | changed
        return candidate_count(shape, self.kind, k=k, padding=padding, **options)

    on_grid: ClassVar[bool] = True
    """Whether candidates are only the map's own tokens, if the map has enough; otherwise they include its ring."""

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:
        """Return whether candidates are all tokens on every map, and whether every map has enough tokens."""
        raise NotImplementedError

    def canonical(self, shapes: Sequence[tuple[int, ...]]) -> Self:  # noqa: ARG002
        """Return the form shared by all that choose the same tokens on maps of these shapes; every map has enough."""
        return self.model_copy(update={"when_too_few": "error"})

    def arguments(self) -> dict[str, Any]:
        """Return the layer's arguments for these candidates."""
        options = self.model_dump()
        return {"candidates": options.pop("kind"), **options}


class AllCandidates(_Candidates):
    """Every token may become a neighbor; in an image layer also those of the ring."""

    kind: Literal["all"] = "all"
    on_grid: ClassVar[bool] = False

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:  # noqa: ARG002
        """Return true for both."""
        return True, True


class RandomCandidates(_Candidates):
    """`r` random tokens, with a new draw at every forward pass, shared by the batch (paper 4.2)."""

    kind: Literal["random"]
    on_grid: ClassVar[bool] = False
    r: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="Number of candidates; an image layer draws them from the padded map."),
        Decides(partial(largest_up_to, _MAP_TOKENS)),
    ]
    when_too_few: WhenTooFew = "error"
    fixed_at_evaluation: Annotated[
        bool,
        Field(description="Always evaluate with the same draw; if false, as published, each evaluation draws again."),
    ] = False

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:  # noqa: ARG002
        """Count the ring, because it is drawn from too."""
        rings = [padded_tokens(shape, padding) for shape in shapes]
        return self.r >= max(rings), self.r <= min(rings)


class StridedCandidates(_Candidates):
    """Every `stride`-th token along each axis: the paper's spatial selection (4.2)."""

    kind: Literal["strided"]
    stride: Annotated[
        int,
        Field(ge=1, le=1024, description="Distance between candidates along each axis, in tokens."),
        Decides(smallest),
    ]
    when_too_few: WhenTooFew = "error"

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:
        """A stride of 1 takes every token except the ring; a stride that leaves too few takes `all`."""
        left = [padded_tokens(tuple(-(-side // self.stride) for side in shape), 0) for shape in shapes]
        return k > max(left) or (self.stride == 1 and padding == 0), k <= min(left)

    def canonical(self, shapes: Sequence[tuple[int, ...]]) -> Self:
        """Limit the stride to the largest side: beyond it, only the first token is taken."""
        return super().canonical(shapes).model_copy(update={"stride": min(self.stride, max(map(max, shapes)))})


class LatticeCandidates(_Candidates):
    """A grid of `side` x `side` tokens spread over the map, as in the published image runs."""

    kind: Literal["lattice"]
    side: Annotated[
        int,
        Field(ge=1, le=1024, description="Tokens along each side of the grid."),
        Decides(partial(largest_up_to, _MAP_SIDES)),
    ]
    when_too_few: WhenTooFew = "error"

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:  # noqa: ARG002
        """A grid as wide as the map takes every token except the ring; a wider one takes `all`."""
        return _grid_coverage(self.side, [min(shape) for shape in shapes], padding)


class EvenCandidates(_Candidates):
    """`r` tokens spread evenly along the sequence, first and last included, as in the published ViT runs."""

    kind: Literal["even"]
    r: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="Number of candidates."),
        Decides(partial(largest_up_to, _MAP_TOKENS)),
    ]
    when_too_few: WhenTooFew = "error"

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:  # noqa: ARG002
        """An `r` equal to the number of tokens takes them all, except the ring; a larger one takes `all`."""
        return _grid_coverage(self.r, [padded_tokens(shape, 0) for shape in shapes], padding)


def _grid_coverage(asked: int, most: list[int], padding: int) -> tuple[bool, bool]:
    return asked > max(most) or (asked == max(most) and padding == 0), asked <= min(most)


SequenceKinds = AllCandidates | RandomCandidates | StridedCandidates | EvenCandidates
Candidates = Annotated[
    AllCandidates | RandomCandidates | StridedCandidates | LatticeCandidates | EvenCandidates,
    Field(discriminator="kind"),
]
SequenceCandidates = Annotated[SequenceKinds, Field(discriminator="kind")]

Neighbors = Annotated[int, Field(ge=1, le=1_000_000, description="Neighbors per token."), Decides(smallest)]
Lambda = Annotated[
    float,
    Field(alias="lambda", ge=0, le=1, description="Fraction of the layer's output channels that ConvNN computes."),
    Decides(smallest),
]
Similarity = Annotated[
    Literal["cosine", "dot", "euclidean"],
    Field(description="Similarity of two tokens; dot is divided by the square root of the number of channels."),
]
RhoChoice = Annotated[
    Literal["constant", "softmax"],
    Field(description="How neighbors are weighted before aggregation (paper 4.1)."),
    Decides(every),
]
Aggregation = Annotated[
    Literal["standard", "depthwise", "depthwise_separable"],
    Field(description="Conv1d that aggregates k neighbors into one output; depthwise starts with weights of 1."),
]
SelfFirst = Annotated[bool, Field(description="Whether each token is its own first neighbor."), Decides(every)]
SelfScore = Annotated[
    float | None,
    Field(description="Score of the token itself in the softmax if self_first is true; null: its similarity."),
    Decides(null_or_not),
]


class ConvNNOptions(Protocol):
    """The options of every layer with ConvNN."""

    @property
    def k(self) -> int: ...
    @property
    def rho(self) -> str: ...
    @property
    def similarity(self) -> str: ...
    @property
    def aggregation(self) -> str: ...
    @property
    def self_first(self) -> bool: ...
    @property
    def self_score(self) -> float | None: ...
    @property
    def candidates(self) -> SequenceKinds | LatticeCandidates: ...
    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self: ...


def canonical_neighbors(layer: ConvNNOptions, shapes: Sequence[tuple[int, ...]], padding: int) -> Any:  # noqa: ANN401
    """Return the layer without options that have no effect on maps of these shapes.

    A token that is its own only neighbor compares nothing, and a single neighbor has weight 1. Candidates that always
    cover every token become `all`, also if a map has too few tokens, because then `all` is what runs.
    """
    if layer.k == 1:
        layer = layer.model_copy(update={"rho": "constant", "self_score": None})
    if layer.k == 1 and layer.self_first:
        nothing = {"similarity": "cosine", "candidates": AllCandidates()}
        return layer.model_copy(update=nothing)
    candidates = layer.candidates
    covers, enough = candidates.coverage(layer.k, shapes, padding)
    if covers:
        return layer.model_copy(update={"candidates": AllCandidates()})
    if enough:
        return layer.model_copy(update={"candidates": candidates.canonical(shapes)})
    return layer


def own_is_compared(layer: ConvNNOptions) -> bool:
    """Return whether the softmax uses a token's similarity with itself, which is computed separately."""
    return layer.self_first and layer.rho == "softmax" and layer.k > 1 and layer.self_score is None


def neighbors_kept(layer: ConvNNOptions, asking: int, candidates: int, compared: int, channels: int) -> int:
    """Estimate the numbers per image that ConvNN's default path keeps: scores, indices and gathered values.

    Args:
        layer: Its options.
        asking: Number of query tokens.
        candidates: Number of candidates.
        compared: Channels of a token that are compared.
        channels: Channels of a neighbor's value.
    """
    k, depthwise = layer.k, layer.aggregation != "standard"
    pairs = 2 * asking * k  # indices of eight bytes
    if layer.rho == "softmax" and k > 1:
        pairs += asking * k + (asking + candidates) * compared
        pairs += asking * k * compared * (layer.similarity == "euclidean")
        pairs += 2 * asking * compared * own_is_compared(layer)
    few = candidates * k <= 2 * asking if depthwise else candidates * (channels + asking) < asking * channels
    return pairs + (k * candidates * (asking + channels) if few else 0)


def convnn_infeasibilities(
    layer: ConvNNOptions, path: str, grids: Sequence[TokenGrid], padding: int | None = None
) -> Iterator[Infeasible]:
    """Yield the reasons why ConvNN cannot run on these maps; each reason names only the first map that it applies to.

    Args:
        layer: Its options.
        path: Path of the options.
        grids: Its tokens in each layer.
        padding: Width of the ring around each map; `None` if the model has no rings.
    """
    if layer.self_score is not None and not (layer.self_first and layer.rho == "softmax"):
        rule, way = "needs self_first: true and rho: softmax", "set them, or leave self_score out"
        yield Infeasible(f"{path}.self_score", rule, str(layer.self_score), way)
    told: set[str] = set()
    for grid in _first_of_each_shape(grids):
        for error in _shortages(layer, grid, padding or 0):
            if error.field not in told:
                told.add(error.field)
                yield _too_few(error, layer, path, grid, padding)


def _first_of_each_shape(grids: Sequence[TokenGrid]) -> list[TokenGrid]:
    found: dict[tuple[int, ...], TokenGrid] = {}
    for grid in grids:
        found.setdefault(grid.shape, grid)
    return list(found.values())


def _shortages(layer: ConvNNOptions, grid: TokenGrid, padding: int) -> Iterator[TooFewTokens]:
    """Yield a shortage of candidates and, if they were enough, a shortage for k."""
    leniencies: tuple[dict[str, str], ...] = ({}, {"when_too_few": "all"})
    for leniency in leniencies:
        try:
            layer.candidates.count(grid.shape, layer.k, padding, **leniency)
        except TooFewTokens as error:
            yield error
        else:
            return


def _too_few(error: TooFewTokens, layer: ConvNNOptions, path: str, grid: TokenGrid, padding: int | None) -> Infeasible:
    candidates, ring = layer.candidates, padding or 0
    tokens = padded_tokens(grid.shape, ring)
    around = f", ring {ring}" if len(grid.shape) > 1 else ""
    seen = f"{grid.name} ({' x '.join(map(str, grid.shape))} tokens{around}: {plural(tokens, 'candidate')})"
    if error.field == "k":
        few = error.most < tokens and isinstance(candidates, RandomCandidates | EvenCandidates)
        where = f"r = {plural(error.most, 'candidate')}" if few else seen
        if error.most < tokens and not few:
            where = f"the {plural(error.most, f'{candidates.kind} candidate')} of {grid.name}"
        way = "use a smaller k, more candidates" + ("" if padding is None else " or a wider padding")
        return Infeasible(f"{path}.k", f"must be at most {error.most} for {where}", str(layer.k), way)
    asked = getattr(candidates, error.field)
    way = f"use a smaller {error.field}, or when_too_few: all"
    where = f"{path}.candidates.{error.field}"
    if error.field == "stride":
        left = f"{asked}, which leaves {error.most} in {seen}"
        return Infeasible(where, f"must leave k = {plural(layer.k, 'candidate')}", left, way)
    return Infeasible(where, f"must be at most {error.most} for {seen}", str(asked), way)
