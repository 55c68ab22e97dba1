"""The one form of equivalent configurations, and its keys.

Two files that describe the same run get the same keys: what cannot matter is dropped, and lambda enters as the
channel counts that it stands for.
"""

import hashlib
import json
from typing import Any

from convnn.geometry import convnn_channels
from search_spaces.feasibility import layers, share
from search_spaces.trial import (
    AllCandidates,
    Conv2dLayer,
    ConvNNLayer,
    HybridLayer,
    RandomCandidates,
    TrialConfig,
)

KEY_VERSION = 1
"""Part of every key; raised when a change of meaning makes old results incomparable."""


def canonical(trial: TrialConfig) -> TrialConfig:
    """The form of `trial` that runs, the same for all equivalent ones.

    A hybrid without a branch is the other branch alone; `random` candidates that always cover every token are `all`
    (also where they are too few: then `all` is what runs).
    """
    layer: Conv2dLayer | ConvNNLayer | HybridLayer = trial.model.layer
    stages = layers(trial.model)
    counts = [convnn_channels(stage.out_channels, share(layer)) for stage in stages]
    if isinstance(layer, HybridLayer) and not any(counts):
        layer = Conv2dLayer(kind="conv2d", kernel_size=layer.kernel_size)
    elif isinstance(layer, HybridLayer) and counts == [stage.out_channels for stage in stages]:
        kept = {name: getattr(layer, name) for name in ConvNNLayer.model_fields if name != "kind"}
        layer = ConvNNLayer(kind="convnn", **kept)
    if isinstance(layer, ConvNNLayer | HybridLayer) and isinstance(layer.candidates, RandomCandidates):
        tokens = [stage.candidates(layer.padding) for stage, n in zip(stages, counts, strict=True) if n]
        r = layer.candidates.r
        if layer.candidates.when_too_few == "all" and r >= max(tokens):
            layer = layer.model_copy(update={"candidates": AllCandidates()})
        elif r <= min(tokens):
            layer = layer.model_copy(update={"candidates": RandomCandidates(kind="random", r=r)})
    return trial.model_copy(update={"model": trial.model.model_copy(update={"layer": layer})})


def config_key(trial: TrialConfig) -> str:
    """16 hexadecimal digits that equivalent configurations share, whatever their seed."""
    form = canonical(trial)
    content: dict[str, Any] = form.model_dump(mode="json")
    content["data"].pop("root")  # a path says where the images lie, not which they are
    content["training"].pop("seed")
    stages = layers(form.model)
    del content["model"]["width"]
    content["model"]["channels"] = [stage.out_channels for stage in stages]
    if isinstance(form.model.layer, HybridLayer):
        del content["model"]["layer"]["lam"]
        content["model"]["layer"]["convnn_channels"] = [
            convnn_channels(stage.out_channels, form.model.layer.lam) for stage in stages
        ]
    text = json.dumps([KEY_VERSION, _unsigned(content)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _unsigned(content: Any) -> Any:  # noqa: ANN401 - plain data
    """The same with 0.0 for -0.0."""
    if isinstance(content, dict):
        return {name: _unsigned(value) for name, value in content.items()}
    return content + 0.0 if isinstance(content, float) else content


def run_key(trial: TrialConfig) -> str:
    """The config_key with the seed: the name of one run."""
    return f"{config_key(trial)}-s{trial.training.seed}"
