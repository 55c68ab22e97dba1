"""What the geometry allows: a configuration that cannot run is known before it starts."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from convnn.geometry import (
    Stage,
    TooFewTokens,
    candidate_count,
    convnn_channels,
    padded_tokens,
    patched,
    vgg11_stages,
    vit_tokens,
)
from search_spaces.domains import Choice, Domain, IntRange, Scalar
from search_spaces.trial import (
    VGG11,
    Attention,
    ConvNNAttention,
    ConvNNLayer,
    EvenCandidates,
    HybridAttention,
    HybridLayer,
    KVTAttention,
    Layer,
    LocalAttention,
    RandomCandidates,
    TrialConfig,
    ViTTiny,
)


@dataclass(frozen=True)
class Obstacle:
    """Why a configuration cannot run: the path of the field to change, the rule and the way out."""

    path: str
    message: str


@dataclass(frozen=True)
class Map:
    """The tokens that one layer's ConvNN sees: its name, and their shape after the patch and without the ring."""

    name: str
    shape: tuple[int, ...]


def mixer(model: VGG11 | ViTTiny) -> Layer | Attention:
    """The part of a model that this project varies: VGG's layer, or ViT's attention."""
    return model.layer if isinstance(model, VGG11) else model.attention


def share(layer: Layer | Attention) -> float:
    """The lambda of any kind of layer: 1 for ConvNN alone, 0 where there is none."""
    if isinstance(layer, HybridLayer | HybridAttention):
        return layer.lam
    return 1.0 if isinstance(layer, ConvNNLayer | ConvNNAttention) else 0.0


def layers(model: VGG11) -> list[Stage]:
    """The model's layers."""
    return [stage for stage in vgg11_stages(model.width) if stage is not None]


def convnn_counts(model: VGG11 | ViTTiny) -> list[int]:
    """ConvNN's output channels in each layer of VGG; of ViT, whose layers are alike, in one."""
    widths = [stage.out_channels for stage in layers(model)] if isinstance(model, VGG11) else [model.dim]
    return [convnn_channels(width, share(mixer(model))) for width in widths]


def obstacles(trial: TrialConfig) -> Iterator[Obstacle]:
    """Everything that keeps `trial` from running; nothing if it can run."""
    model = trial.model
    if isinstance(model, ViTTiny):
        yield from _vit_obstacles(model)
        return
    layer = model.layer
    if isinstance(layer, ConvNNLayer | HybridLayer) and any(convnn_counts(model)):
        smallest_first = sorted(zip(layers(model), convnn_counts(model), strict=True), key=lambda pair: pair[0].side)
        maps = []
        for stage, count in smallest_first:
            if not count:
                continue
            if stage.side % layer.patch:
                rule = f"must divide every side of the map, and {stage.name} has {stage.side} x {stage.side} tokens"
                yield Obstacle("model.layer.patch", f"{rule}; got {layer.patch}; patch: 1 always fits.")
                return
            maps.append(Map(stage.name, patched(stage.shape, layer.patch)))
        yield from _convnn_obstacles(layer, "model.layer", maps, layer.padding)


def _vit_obstacles(model: ViTTiny) -> Iterator[Obstacle]:
    attention = model.attention
    if model.image_size % model.patch_size:
        nearest = max(1, round(model.image_size / model.patch_size)) * model.patch_size
        rule = f"must divide image_size ({model.image_size}), got {model.patch_size}"
        yield Obstacle("model.patch_size", f"{rule}; the nearest image_size that fits is {nearest}.")
        return
    if model.dim % model.heads and not (isinstance(attention, LocalAttention) and attention.head_dim):
        yield Obstacle("model.heads", f"must divide dim ({model.dim}), got {model.heads}; heads: 1 always fits.")
        return
    maps = [Map("every block", (vit_tokens(model.image_size, model.patch_size),))]
    if isinstance(attention, ConvNNAttention | HybridAttention) and any(convnn_counts(model)):
        yield from _convnn_obstacles(attention, "model.attention", maps, 0)
    elif isinstance(attention, KVTAttention) and attention.k > maps[0].shape[0]:
        rule = f"must be at most {maps[0].shape[0]} (tokens of every block), got {attention.k}"
        yield Obstacle("model.attention.k", f"{rule}; take a smaller k or smaller patches.")
    elif isinstance(attention, LocalAttention) and attention.rotary:
        head_dim = attention.head_dim or model.dim // model.heads
        if head_dim % 2:
            rule = f"must be even for rotary positions, which pair channels; got {head_dim}"
            yield Obstacle("model.attention.head_dim", f"{rule}; take an even one, or rotary: false.")


def _convnn_obstacles(
    layer: ConvNNLayer | HybridLayer | ConvNNAttention | HybridAttention, path: str, maps: list[Map], padding: int
) -> Iterator[Obstacle]:
    if layer.self_score is not None and not (layer.self_first and layer.rho == "softmax"):
        yield Obstacle(
            f"{path}.self_score",
            f"goes with self_first: true and rho: softmax, got {layer.self_score}; set them, or leave self_score out.",
        )
    options = layer.candidates.model_dump(include={"r", "stride", "side", "when_too_few"})
    told: set[str] = set()
    for here in maps:
        for leniency in ({}, {"when_too_few": "all"}):  # once the candidates are enough, k may still be too large
            try:
                candidate_count(here.shape, layer.candidates.kind, k=layer.k, padding=padding, **(options | leniency))
            except TooFewTokens as error:
                if error.field in told:
                    continue
                told.add(error.field)
                yield _too_few(error, layer, path, here, padding)


def _too_few(error: TooFewTokens, layer: Any, path: str, here: Map, padding: int) -> Obstacle:  # noqa: ANN401
    tokens = padded_tokens(here.shape, padding)
    ring = f", ring {padding}" if len(here.shape) > 1 else ""
    shape = " x ".join(map(str, here.shape))
    grid = f"{here.name} ({shape} tokens{ring}: {tokens} candidates)"
    candidates = layer.candidates
    if error.field == "k":
        few = error.most < tokens and isinstance(candidates, RandomCandidates | EvenCandidates)
        where = f"r = {error.most} candidates" if few else grid
        if error.most < tokens and not few:
            where = f"the {error.most} {candidates.kind} candidates of {here.name}"
        wider = "more candidates or a wider padding" if padding or path == "model.layer" else "more candidates"
        rule = f"must be at most {error.most} for {where}, got {layer.k}"
        return Obstacle(f"{path}.k", f"{rule}; take a smaller k, {wider}.")
    if error.field == "stride":
        rule = f"must leave k = {layer.k} candidates, got {candidates.stride}, which leaves {error.most} in {grid}"
        return Obstacle(f"{path}.candidates.stride", f"{rule}; take a smaller stride, or when_too_few: all.")
    asked = getattr(candidates, error.field)
    rule = f"must be at most {error.most} for {grid}, got {asked}"
    return Obstacle(f"{path}.candidates.{error.field}", f"{rule}; take a smaller {error.field}, or when_too_few: all.")


WIDEST_RING = 15
"""The largest `padding` that a layer may have."""

_SIDES = sorted({stage.side for stage in vgg11_stages() if stage is not None})
_LIMITS = {
    "side": {side // patch for side in _SIDES for patch in range(1, side + 1) if side % patch == 0},
    "r": {
        (side // patch + 2 * ring) ** 2
        for side in _SIDES
        for patch in (1, 2, 4, 8, 16, 32)
        if side % patch == 0
        for ring in range(WIDEST_RING + 1)
    }
    | {n * n + 1 for n in range(1, 1025)},
}


def telling(field: str, domain: Domain) -> tuple[Scalar, ...]:
    """The values of a domain of the field so named, below `model`, that decide whether any of its values can run.

    Fewer neighbors, fewer ConvNN channels, a shorter stride and a wider ring are never harder to run. The best `r` or
    `side` is the largest that some map still has, or the largest of all. What `obstacles` does not look at gets one
    value, and what fits or not by divisors gets all.
    """
    values = domain.values if isinstance(domain, Choice) else (domain.low, domain.high)
    if field in ("k", "lambda", "width", "stride", "padding"):
        return (max(values) if field == "padding" else min(values),)  # type: ignore[type-var]
    if field in ("patch", "image_size", "patch_size", "dim", "heads", "head_dim"):
        return domain.values if isinstance(domain, Choice) else _whole(domain)
    if field in ("when_too_few", "rho", "self_first", "rotary", "self_score"):
        return tuple({value is None if field == "self_score" else value: value for value in values}.values())
    if field in _LIMITS:
        found = {_largest(domain, limit) for limit in (*_LIMITS[field], max(values))}  # type: ignore[type-var]
        return tuple(sorted(found - {None}))  # type: ignore[type-var]
    return values[:1]


def _whole(domain: Domain) -> tuple[int, ...]:
    assert isinstance(domain, IntRange)
    return tuple(range(domain.low, domain.high + 1, domain.step))


def _largest(domain: Domain, limit: Scalar) -> Scalar:
    """The largest whole number of `domain` up to `limit`, if there is one."""
    assert isinstance(limit, int)
    if isinstance(domain, IntRange):
        return None if limit < domain.low else min(domain.high, limit - (limit - domain.low) % domain.step)
    assert isinstance(domain, Choice)
    return max((value for value in domain.values if isinstance(value, int) and value <= limit), default=None)
