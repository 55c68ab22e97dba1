"""Tokens, candidates and channels of every stage, in closed form and without torch.

Models are built from these numbers and configurations are judged by them, so the two cannot disagree.
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
"""Every data set is shown to the models as 32 x 32 RGB images."""

POOLED_SIDE = 7
"""VGG's adaptive pool hands 7 x 7 positions to the classifier."""

VIT_IMAGE_SIZE = 224
"""The side to which ViT-Tiny resizes its images."""

VIT_PATCH_SIZE = 16
"""The side of the square of pixels that becomes one token of ViT-Tiny."""


class TooFewTokens(ValueError):  # noqa: N818 - it says what is wrong
    """A map has too few tokens for an option: `field` names the option, `most` is the largest value that fits."""

    def __init__(self, field: str, most: int, message: str) -> None:
        super().__init__(message)
        self.field, self.most = field, most


def padded_tokens(shape: tuple[int, ...], padding: int) -> int:
    """Tokens of a map or sequence of this shape with a ring of `padding` zero tokens around it."""
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
    """How many tokens a token may choose its k neighbors from.

    Source: Kang and Rocha Neto, arXiv:2511.14137, Sec. 4.1 (`all`) and 4.2.2 (`random`, and spatial selection:
    `strided`). `lattice` and `even` are what the published runs did for spatial selection. The ring of zero tokens,
    which the published image layers have, belongs to `all` and `random` alone: a grid is one of the map's own tokens.

    Args:
        shape: `(length,)` or `(height, width)`, in tokens: after the patch, without the ring.
        candidates: `all`; `random`, `r` drawn tokens; `strided`, every `stride`-th token along each axis; `lattice`,
            `side` x `side` tokens spread over a map; `even`, `r` tokens spread over the sequence of tokens.
        k: Neighbors per token.
        r: For `random` and `even`.
        stride: For `strided`.
        side: For `lattice`.
        padding: Width of the ring.
        when_too_few: What a map with fewer tokens than asked, or a stride that leaves fewer than `k`, does: `error`,
            or take `all`.

    Raises:
        TooFewTokens: If there are too few tokens; it is a ValueError.
        ValueError: If a sequence is asked for a lattice.
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
            raise ValueError("candidates='lattice' needs a map of two sides; a sequence has candidates='even'.")
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
        rule = f"k must be 1 to {count} (candidate tokens), got {k=}; take more candidates or a wider ring."
        raise TooFewTokens("k", count, rule)
    return count


def _given(amount: int | None) -> int:
    assert amount is not None  # the layers and the configuration ask for it with its kind
    return amount


def patched(shape: tuple[int, ...], patch: int) -> tuple[int, ...]:
    """The shape in tokens when `patch` pixels along each axis make one (paper 13).

    Raises:
        ValueError: If the patch does not divide every side.
    """
    if any([side % patch for side in shape]):  # noqa: C419 - torch.compile follows no generators
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
        """Tokens to choose neighbors from, with a ring of `padding` zero tokens around the map.

        Raises:
            ValueError: If the patch does not divide the map.
        """
        return padded_tokens(patched(self.shape, patch), padding)


def scaled(channels: int, width: float) -> int:
    """`channels` times `width`, at least 1."""
    return max(1, round(channels * width))


@functools.cache
def vgg11_stages(width: float = 1.0, image_side: int = IMAGE_SIDE) -> tuple[Stage | None, ...]:
    """VGG-11's layers in order; `None` where the map is halved."""
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
    """The stages of every range, by its name: `conv5`, `conv5-conv8`."""
    names = VGG11_STAGES
    ends = [(first, last) for first in range(len(names)) for last in range(first, len(names))]
    return {range_name(names[a : b + 1]): names[a : b + 1] for a, b in ends}


def range_name(stages: Sequence[str]) -> str:
    """What a range of stages is called, which follow each other."""
    return stages[0] if len(stages) == 1 else f"{stages[0]}-{stages[-1]}"


def range_mistakes(names: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What keeps these names from naming each stage once: the name that is wrong, or "" for all together, and why."""
    ranges, owners, sure = stage_ranges(), dict[str, str](), True
    for name in names:
        meant = name if name in ranges else _meant(name)
        if name not in ranges:
            rule = f"must be a stage, {VGG11_STAGES[0]} to {VGG11_STAGES[-1]}, or a range such as conv5-conv8"
            yield name, f"{rule}, the lower end first; got {name!r}{f'; did you mean {meant!r}?' if meant else '.'}"
            sure = sure and meant is not None
        twice = [stage for stage in ranges.get(meant or "", ()) if stage in owners]
        if twice and name in ranges:
            others = " and ".join(dict.fromkeys(owners[stage] for stage in twice))
            has = f"{', '.join(twice)} {'is' if len(twice) == 1 else 'are'} in {others} already"
            yield (
                name,
                f"must name no stage a second time; {has}; take {'it' if len(twice) == 1 else 'them'} out of one.",
            )
        owners |= dict.fromkeys(ranges.get(meant or "", ()), name)
    left = [stage for stage in VGG11_STAGES if stage not in owners]
    if left and sure:
        yield "", f"must name every stage once; nothing names {', '.join(left)}; add {_added(left)}: {{...}}."


def _meant(name: str) -> str | None:
    """The range that a misspelt name stands for, by its numbers."""
    numbers = sorted({int(number) for number in re.findall("[0-9]{1,3}", name)})
    stages = [f"conv{number}" for number in numbers]
    return range_name(stages) if len(stages) in (1, 2) and set(stages) <= set(VGG11_STAGES) else None


def _added(stages: Sequence[str]) -> str:
    """The first of the ranges that these stages make, each as long as can be."""
    first = VGG11_STAGES.index(stages[0])
    run = [stage for stage, there in zip(stages, VGG11_STAGES[first:], strict=False) if stage == there]
    return range_name(run)


def convnn_channels(out_channels: int, lam: float) -> int:
    """Output channels of a hybrid layer that come from ConvNN: int(lambda x out), as in the published runs."""
    return int(out_channels * lam)


def vit_tokens(image_size: int = VIT_IMAGE_SIZE, patch_size: int = VIT_PATCH_SIZE) -> int:
    """Tokens of every block of a ViT: one per patch, and the class token, which comes first.

    Raises:
        ValueError: If the patches do not tile the image.
    """
    if patch_size < 1 or image_size < patch_size or image_size % patch_size:
        raise ValueError(
            f"patch_size must divide image_size, got {image_size=}, {patch_size=}; "
            f"the nearest image_size that fits is {max(1, round(image_size / max(1, patch_size))) * patch_size}."
        )
    return (image_size // patch_size) ** 2 + 1
