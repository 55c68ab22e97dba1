"""What models have in common: where a token's neighbors are looked for, and the options of ConvNN."""

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
"""The largest `padding` that a layer may have."""

_SIDES = sorted({stage.side for stage in vgg11_stages() if stage is not None})
_MAP_SIDES = {side // patch for side in _SIDES for patch in range(1, side + 1) if side % patch == 0}
_MAP_TOKENS = {
    (side // patch + 2 * ring) ** 2
    for side in _SIDES
    for patch in (1, 2, 4, 8, 16, 32)
    if side % patch == 0
    for ring in range(WIDEST_RING + 1)
} | {n * n + 1 for n in range(1, 1025)}
"""Of maps with their rings, and of sequences with their class token."""

WhenTooFew = Annotated[
    Literal["error", "all"],
    Field(description="On a map with fewer tokens than asked: refuse, or take all of them."),
    Decides(every),
]


@dataclass(frozen=True)
class TokenGrid:
    """The tokens that one layer's ConvNN sees: its name, and their shape after the patch and without the ring."""

    name: str
    shape: tuple[int, ...]


_COUNTED = ("r", "stride", "side", "when_too_few")
"""Options that say how many there are."""


class _Candidates(Config):
    kind: CandidateKind

    def count(self, shape: tuple[int, ...], k: int, padding: int, **changed: Any) -> int:  # noqa: ANN401
        """See `convnn.geometry.candidate_count`; `changed` takes the place of options of these."""
        options = {name: value for name, value in self if name in _COUNTED} | changed
        return candidate_count(shape, self.kind, k=k, padding=padding, **options)

    on_grid: ClassVar[bool] = True
    """Whether they are some of the map's own tokens, where it has as many as asked; else those of its ring, too."""

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:
        """Whether they are all tokens on every map, and whether every map has as many as asked."""
        raise NotImplementedError

    def canonical(self, shapes: Sequence[tuple[int, ...]]) -> Self:  # noqa: ARG002
        """The same for all that choose the same on maps of these shapes, each of which has as many as asked."""
        return self.model_copy(update={"when_too_few": "error"})

    def arguments(self) -> dict[str, Any]:
        """The arguments of a layer that choose these."""
        options = self.model_dump()
        return {"candidates": options.pop("kind"), **options}


class AllCandidates(_Candidates):
    """Every token, of an image layer also the ring, may become a neighbor."""

    kind: Literal["all"] = "all"
    on_grid: ClassVar[bool] = False

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:  # noqa: ARG002
        """Always."""
        return True, True


class RandomCandidates(_Candidates):
    """`r` tokens, drawn anew at every forward pass and shared by the batch (paper 4.2)."""

    kind: Literal["random"]
    on_grid: ClassVar[bool] = False
    r: Annotated[
        int,
        Field(ge=1, le=1_000_000, description="Tokens drawn; of an image layer, from the padded map."),
        Decides(partial(largest_up_to, _MAP_TOKENS)),
    ]
    when_too_few: WhenTooFew = "error"
    fixed_at_evaluation: Annotated[
        bool, Field(description="Evaluate always with the same draw; as published, evaluation draws anew, too.")
    ] = False

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:  # noqa: ARG002
        """The ring is drawn from, too."""
        rings = [padded_tokens(shape, padding) for shape in shapes]
        return self.r >= max(rings), self.r <= min(rings)


class StridedCandidates(_Candidates):
    """Every `stride`-th token along each axis: the paper's spatial selection (4.2)."""

    kind: Literal["strided"]
    stride: Annotated[int, Field(ge=1, le=1024, description="Step between candidates, in tokens."), Decides(smallest)]
    when_too_few: WhenTooFew = "error"

    def coverage(self, k: int, shapes: Sequence[tuple[int, ...]], padding: int) -> tuple[bool, bool]:
        """A step of 1 takes every token, but none of the ring; one that leaves too few takes `all`."""
        left = [padded_tokens(tuple(-(-side // self.stride) for side in shape), 0) for shape in shapes]
        return k > max(left) or (self.stride == 1 and padding == 0), k <= min(left)

    def canonical(self, shapes: Sequence[tuple[int, ...]]) -> Self:
        """A step beyond the largest side takes the first token."""
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
        """A grid as wide as the map takes every token, but none of the ring; a wider one takes `all`."""
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
        """As many as there are tokens are all of them, but none of the ring; more take `all`."""
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
    Field(alias="lambda", ge=0, le=1, description="Share of the layer's output channels from ConvNN."),
    Decides(smallest),
]
Similarity = Annotated[
    Literal["cosine", "dot", "euclidean"],
    Field(description="What makes two tokens alike; dot is scaled by the root of the channels."),
]
RhoChoice = Annotated[
    Literal["constant", "softmax"],
    Field(description="How neighbors are weighed before aggregation (paper 4.1)."),
    Decides(every),
]
Aggregation = Annotated[
    Literal["standard", "depthwise", "depthwise_separable"],
    Field(description="The Conv1d that turns k neighbors into one output; depthwise starts from unit weights."),
]
SelfFirst = Annotated[bool, Field(description="Each token is its own first neighbor."), Decides(every)]
SelfScore = Annotated[
    float | None,
    Field(description="What softmax sees of the token itself where it is first; null: its own similarity."),
    Decides(null_or_not),
]


class ConvNNOptions(Protocol):
    """What every layer with ConvNN has, whatever its defaults."""

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
    """The same kind of layer without what cannot matter on maps of these shapes.

    A token that is its own only neighbor compares nothing, and an only neighbor has weight 1; candidates that always
    cover every token are `all` (also where they are too few: then `all` is what runs).
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
    """Whether softmax sees a token's similarity with itself, which is worked out apart from the others."""
    return layer.self_first and layer.rho == "softmax" and layer.k > 1 and layer.self_score is None


def neighbors_kept(layer: ConvNNOptions, asking: int, candidates: int, compared: int, channels: int) -> int:
    """About the numbers that ConvNN's default path keeps of an image: scores, indices and gathered values.

    Args:
        layer: Its options.
        asking: Tokens that look for neighbors.
        candidates: Among which.
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
    """What keeps ConvNN from running on these maps; of several maps that one too strict for, the first is named.

    Args:
        layer: Its options.
        path: Where they stand.
        grids: What it sees.
        padding: Width of the ring around each; `None` where a model has none.
    """
    if layer.self_score is not None and not (layer.self_first and layer.rho == "softmax"):
        rule, way = "goes with self_first: true and rho: softmax", "set them, or leave self_score out"
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
    """Too few candidates, and, were they enough, still too few for k."""
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
        way = "take a smaller k, more candidates" + ("" if padding is None else " or a wider padding")
        return Infeasible(f"{path}.k", f"must be at most {error.most} for {where}", str(layer.k), way)
    asked = getattr(candidates, error.field)
    way = f"take a smaller {error.field}, or when_too_few: all"
    where = f"{path}.candidates.{error.field}"
    if error.field == "stride":
        left = f"{asked}, which leaves {error.most} in {seen}"
        return Infeasible(where, f"must leave k = {plural(layer.k, 'candidate')}", left, way)
    return Infeasible(where, f"must be at most {error.most} for {seen}", str(asked), way)
