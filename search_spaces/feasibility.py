"""What the geometry allows: a configuration that cannot run is known before it starts."""

from collections.abc import Iterator
from dataclasses import dataclass

from convnn.geometry import Stage, convnn_channels, vgg11_stages
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
    """Everything that keeps `trial` from running; nothing if it can run."""
    layer = trial.model.layer
    if isinstance(layer, Conv2dLayer):
        return
    for stage in layers(trial.model):
        if convnn_channels(stage.out_channels, share(layer)) == 0:
            continue
        tokens = stage.candidates(layer.padding)
        grid = f"{stage.name} ({stage.side} x {stage.side} tokens, ring {layer.padding}: {tokens} candidates)"
        available = tokens
        if isinstance(layer.candidates, RandomCandidates):
            if layer.candidates.r > tokens and layer.candidates.when_too_few == "error":
                yield Obstacle(
                    "model.layer.candidates.r",
                    f"must be at most {tokens} for {grid}, got {layer.candidates.r}; take a smaller r, or "
                    f"when_too_few: all.",
                )
                continue
            available = min(tokens, layer.candidates.r)
        if layer.k > available:
            where = "the r candidates" if available < tokens else grid
            yield Obstacle(
                "model.layer.k",
                f"must be at most {available} for {where}, got {layer.k}; take a smaller k, more candidates or a "
                f"wider padding.",
            )
