"""Tokens, candidates and channels of every stage, in closed form and without torch.

Models are built from these numbers, and configurations are checked against them, so the two always agree.
"""

import functools
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, get_args

CandidateKind = Literal["all", "random", "strided", "lattice", "even"]
CANDIDATE_KINDS: tuple[CandidateKind, ...] = get_args(CandidateKind)
WhenTooFew = Literal["error", "all"]

VGG11_PLAN: tuple[int | None, ...] = (64, None, 128, None, 256, 256, None, 512, 512, None, 512, 512, None)
"""Output channels of VGG-11's eight convolutions at width 1; `None` halves the map."""

IMAGE_SIDE = 32
"""The models receive images of every data set as 32 x 32 RGB."""

POOLED_SIDE = 7
"""VGG's adaptive pool passes 7 x 7 positions to the classifier."""

VIT_IMAGE_SIZE = 224
"""The side to which ViT-Tiny resizes its images."""

VIT_PATCH_SIZE = 16
"""The side of the square patch that becomes one token of ViT-Tiny."""


class TooFewTokens(ValueError):  # noqa: N818 - the name states the problem
    """A map has too few tokens for an option: `field` names the option, `most` is the largest value that fits."""

    def __init__(self, field: str, most: int, message: str) -> None:
        super().__init__(message)
        self.field, self.most = field, most


def padded_tokens(shape: tuple[int, ...], padding: int) -> int:
    """Return the number of tokens of a map or sequence of this shape, including a ring of `padding` zero tokens."""
    return math.prod([side + 2 * padding for side in shape])


def candidate_count(
    shape: tuple[int, ...],
    candidates: CandidateKind = "all",
    *,
    k: int,
    r: int | None = None,
    stride: int | None = None,
    side: int | None = None,
    padding: int = 0,
    when_too_few: WhenTooFew = "error",
) -> int:
    """Return the number of tokens from which a token chooses its k neighbors.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1 (`all`) and 4.2.2 (`random`, and spatial selection:
    `strided`). The published runs used `lattice` and `even` for spatial selection. Only `all` and `random` include the
    ring of zero tokens, which the published image layers have. A grid consists of the map's own tokens.

    Args:
        shape: `(length,)` or `(height, width)`, in tokens: after the patch, without the ring.
        candidates: `all`; `random`: `r` drawn tokens; `strided`: every `stride`-th token along each axis; `lattice`:
            `side` x `side` tokens spread over a map; `even`: `r` tokens spread over the sequence of tokens.
        k: Neighbors per token.
        r: Number of tokens for `random` and `even`.
        stride: Stride for `strided`.
        side: Side for `lattice`.
        padding: Width of the ring.
        when_too_few: If a map has fewer tokens than requested, or a stride leaves fewer than `k`: `error`, or take
            `all`.

    Raises:
        TooFewTokens: If there are too few tokens. It is a ValueError.
        ValueError: If `lattice` is used on a sequence.
    """
    tokens, ring = math.prod(shape), padded_tokens(shape, padding)
    if candidates == "all":
        found, asked, rule = ring, ring, ""
    elif candidates == "random":
        found, asked, rule = ring, _given(r), f"r must be 1 to {ring} (tokens of the map), got {r=}"
    elif candidates == "even":
        found, asked, rule = tokens, _given(r), f"r must be 1 to {tokens} (tokens of the map), got {r=}"
    elif candidates == "lattice":
        if len(shape) == 1:
            raise ValueError("candidates='lattice' needs a two-dimensional map; use candidates='even' for a sequence.")
        found, asked = min(shape), _given(side)
        rule = f"side must be 1 to {min(shape)} (side of the map), got {side=}"
    else:
        left = math.prod([-(-length // _given(stride)) for length in shape])
        found, asked = left, k
        rule = f"stride={stride} leaves {left} of {tokens} tokens as candidates, fewer than {k=}"
    if asked > found:
        if when_too_few == "error":
            field = {"lattice": "side", "strided": "stride"}.get(candidates, "r")
            raise TooFewTokens(field, found, f"{rule}; try when_too_few='all' or candidates='all'.")
        candidates, count = "all", ring
    else:
        count = {"lattice": asked**2, "strided": found}.get(candidates, asked)
    if not k <= count:
        rule = f"k must be 1 to {count} (candidate tokens), got {k=}; use more candidates or a wider ring."
        raise TooFewTokens("k", count, rule)
    return count


def _given(amount: int | None) -> int:
    assert amount is not None  # the layers and the configuration require it for its kind
    return amount


def patched(shape: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """Return the shape in tokens if `patch` pixels along each axis form one token (paper 13).

    Raises:
        ValueError: If the patch does not divide every side.
    """
    if any([side % patch for side in shape]):  # noqa: C419 - torch.compile does not support generators
        sides = " x ".join(map(str, shape))
        raise ValueError(f"patch must divide every side of the map, got {patch=} for {sides}; try patch=1.")
    return tuple([side // patch for side in shape])


@dataclass(frozen=True)
class Stage:
    """One layer of VGG: its name, channels and the side of its square map, in tokens before any patch."""

    name: str
    in_channels: int
    out_channels: int
    side: int

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return (self.side, self.side)

    def candidates(self, padding: int, patch: int = 1) -> int:
        """Return the number of candidate tokens, with a ring of `padding` zero tokens around the map.

        Raises:
            ValueError: If the patch does not divide the map.
        """
        return padded_tokens(patched(self.shape, patch), padding)


def scaled(channels: int, width: float) -> int:
    """Return `channels` times `width`, at least 1."""
    return max(1, round(channels * width))


@functools.cache
def vgg11_stages(width: float = 1.0, image_side: int = IMAGE_SIDE) -> tuple[Stage | None, ...]:
    """Return VGG-11's layers in order; `None` where the map is halved."""
    channels, side, number = 3, image_side, 0
    stages: list[Stage | None] = []
    for entry in VGG11_PLAN:
        if entry is None:
            side //= 2
            stages.append(None)
            continue
        number += 1
        out = scaled(entry, width)
        stages.append(Stage(f"conv{number}", channels, out, side))
        channels = out
    return tuple(stages)


VGG11_STAGES = tuple(stage.name for stage in vgg11_stages() if stage is not None)
"""The names of VGG-11's layers in order: conv1 to conv8."""


@functools.cache
def stage_ranges() -> Mapping[str, tuple[str, ...]]:
    """Return the stages of every range, by its name: `conv5`, `conv5-conv8`."""
    names = VGG11_STAGES
    ends = [(first, last) for first in range(len(names)) for last in range(first, len(names))]
    return {range_name(names[a : b + 1]): names[a : b + 1] for a, b in ends}


def range_name(stages: Sequence[str]) -> str:
    """Return the name of a range of consecutive stages."""
    return stages[0] if len(stages) == 1 else f"{stages[0]}-{stages[-1]}"


def runs_of(by_stage: Mapping[str, object]) -> list[list[str]]:
    """Return the names of the stages, with neighbors that have equal values in one list."""
    runs: list[list[str]] = []
    for stage, value in by_stage.items():
        if runs and value == by_stage[runs[-1][0]]:
            runs[-1].append(stage)
        else:
            runs.append([stage])
    return runs


def range_mistakes(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """Yield why these names do not name each stage once: the wrong name, or "" for all of them, and a message."""
    ranges, owners, sure = stage_ranges(), dict[str, str](), True
    for name in names:
        meant = name if name in ranges else _meant(name)
        if name not in ranges:
            rule = f"must be a stage ({VGG11_STAGES[0]} to {VGG11_STAGES[-1]}) or a range such as conv5-conv8"
            hint = f"; did you mean {meant!r}?" if meant else "."
            yield name, f"{rule}, with the lower stage first, got {name!r}{hint}"
            sure = sure and meant is not None
        twice = [stage for stage in ranges.get(meant or "", ()) if stage in owners]
        if twice and name in ranges:
            others = " and ".join(dict.fromkeys(owners[stage] for stage in twice))
            verb, pronoun = ("is", "it") if len(twice) == 1 else ("are", "them")
            has = f"{', '.join(twice)} {verb} already in {others}"
            yield name, f"must not repeat a stage; {has}; remove {pronoun} from one of the ranges."
        owners |= dict.fromkeys(ranges.get(meant or "", ()), name)
    missing = [stage for stage in VGG11_STAGES if stage not in owners]
    if missing and sure:
        has = f"{', '.join(missing)} {'is' if len(missing) == 1 else 'are'} missing"
        yield "", f"must name every stage once; {has}; add {_first_range(missing)}: {{...}}."


def _meant(name: str) -> str | None:
    """Return the range that a misspelt name probably means, from its numbers."""
    numbers = sorted({int(number) for number in re.findall("[0-9]{1,3}", name)})
    stages = [f"conv{number}" for number in numbers]
    return range_name(stages) if len(stages) in (1, 2) and set(stages) <= set(VGG11_STAGES) else None


def _first_range(stages: Sequence[str]) -> str:
    """Return the longest range that starts at the first of these stages and contains only them."""
    first = VGG11_STAGES.index(stages[0])
    run = [stage for stage, there in zip(stages, VGG11_STAGES[first:], strict=False) if stage == there]
    return range_name(run)


def convnn_channels(out_channels: int, lam: float) -> int:
    """Return ConvNN's output channels in a hybrid layer: int(lambda x out), as in the published runs."""
    return int(out_channels * lam)


def vit_tokens(image_size: int = VIT_IMAGE_SIZE, patch_size: int = VIT_PATCH_SIZE) -> int:
    """Return the number of tokens in every block of a ViT: one per patch, and the class token, which comes first.

    Raises:
        ValueError: If the patches do not tile the image.
    """
    if patch_size < 1 or image_size < patch_size or image_size % patch_size:
        raise ValueError(
            f"patch_size must divide image_size, got {image_size=}, {patch_size=}; "
            f"the nearest image_size that fits is {max(1, round(image_size / max(1, patch_size))) * patch_size}."
        )
    return (image_size // patch_size) ** 2 + 1
