"""What the geometry allows: a configuration that cannot run is known before it starts."""

from collections.abc import Iterator
from dataclasses import dataclass

from convnn.geometry import Stage, convnn_channels, vgg11_stages
from search_spaces.domains import Choice, Domain, IntRange, Scalar
from search_spaces.trial import VGG11, Conv2dLayer, ConvNNLayer, HybridLayer, RandomCandidates, TrialConfig


@dataclass(frozen=True)
class Obstacle:
    """Why a configuration cannot run: the path of the field to change, the rule and the way out."""

    path: str
    message: str


def share(layer: Conv2dLayer | ConvNNLayer | HybridLayer) -> float:
    """The lambda of any kind of layer."""
    if isinstance(layer, HybridLayer):
        return layer.lam
    return 1.0 if isinstance(layer, ConvNNLayer) else 0.0


def layers(model: VGG11) -> list[Stage]:
    """The model's layers."""
    return [stage for stage in vgg11_stages(model.width) if stage is not None]


def obstacles(trial: TrialConfig) -> Iterator[Obstacle]:
    """Everything that keeps `trial` from running; nothing if it can run.

    What the smallest map with ConvNN channels allows, the others allow too.
    """
    layer = trial.model.layer
    if isinstance(layer, Conv2dLayer):
        return
    stages = [stage for stage in layers(trial.model) if convnn_channels(stage.out_channels, share(layer))]
    if not stages:
        return
    stage = min(stages, key=lambda stage: stage.side)
    tokens = available = stage.candidates(layer.padding)
    grid = f"{stage.name} ({stage.side} x {stage.side} tokens, ring {layer.padding}: {tokens} candidates)"
    if isinstance(layer.candidates, RandomCandidates):
        r = layer.candidates.r
        available = min(tokens, r)
        if r > tokens and layer.candidates.when_too_few == "error":
            yield Obstacle(
                "model.layer.candidates.r",
                f"must be at most {tokens} for {grid}, got {r}; take a smaller r, or when_too_few: all.",
            )
    if layer.k > available:
        where = f"r = {available} candidates" if available < tokens else grid
        yield Obstacle(
            "model.layer.k",
            f"must be at most {available} for {where}, got {layer.k}; take a smaller k, more candidates or a wider "
            f"padding.",
        )


WIDEST_RING = 15
"""The largest `padding` that a layer may have."""

_TOKENS = sorted({s.candidates(ring) for s in vgg11_stages() if s is not None for ring in range(WIDEST_RING + 1)})


def telling(field: str, domain: Domain) -> tuple[Scalar, ...]:
    """The values of a domain of the field so named, below `model`, that decide whether any of its values can run.

    Fewer neighbors, fewer ConvNN channels and a wider ring are never harder to run. The best `r` is the largest that
    the smallest map still has, or the largest of all. What `obstacles` does not look at gets one value.
    """
    values = domain.values if isinstance(domain, Choice) else (domain.low, domain.high)
    if field in ("k", "lambda", "width"):
        return (min(values),)  # type: ignore[type-var]
    if field == "padding":
        return (max(values),)  # type: ignore[type-var]
    if field == "when_too_few":
        return values
    if field == "r":
        found = {_largest(domain, limit) for limit in (*_TOKENS, max(values))}  # type: ignore[type-var]
        return tuple(sorted(found - {None}))  # type: ignore[type-var]
    return values[:1]


def _largest(domain: Domain, limit: Scalar) -> Scalar:
    """The largest whole number of `domain` up to `limit`, if there is one."""
    assert isinstance(limit, int)
    if isinstance(domain, IntRange):
        return None if limit < domain.low else min(domain.high, limit - (limit - domain.low) % domain.step)
    assert isinstance(domain, Choice)
    return max((value for value in domain.values if isinstance(value, int) and value <= limit), default=None)
