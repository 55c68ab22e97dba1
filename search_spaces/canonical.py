"""The one form of equivalent configurations, and its keys.

Two files that describe the same run get the same keys: what cannot matter is dropped, and lambda enters as the
channel counts that it stands for.
"""

import hashlib
import json
from typing import Any

from convnn.geometry import padded_tokens, patched, vit_tokens
from search_spaces.feasibility import convnn_counts, layers, mixer, obstacles
from search_spaces.trial import (
    VGG11,
    AllCandidates,
    Conv2dLayer,
    ConvNNAttention,
    ConvNNLayer,
    EvenCandidates,
    HybridAttention,
    HybridLayer,
    LatticeCandidates,
    Layer,
    RandomCandidates,
    StridedCandidates,
    TrialConfig,
    ViTTiny,
)

KEY_VERSION = 1
"""Part of every key; raised when a change of meaning makes old results incomparable."""

Neighborly = ConvNNLayer | HybridLayer | ConvNNAttention | HybridAttention

Drawn = RandomCandidates | StridedCandidates | EvenCandidates | LatticeCandidates


def canonical(trial: TrialConfig) -> TrialConfig:
    """The form of `trial` that runs, the same for all equivalent ones. One that cannot run is left as it is.

    A hybrid VGG without a branch is the other branch alone; a token that is its own only neighbor compares nothing;
    candidates that always cover every token are `all` (also where they are too few: then `all` is what runs).
    """
    if next(obstacles(trial), None) is not None:
        return trial
    model = trial.model
    changed = {"layer": _layer(model)} if isinstance(model, VGG11) else {"attention": _attention(model)}
    return trial.model_copy(update={"model": model.model_copy(update=changed)})


def _layer(model: VGG11) -> Layer:
    layer, counts = model.layer, convnn_counts(model)
    if isinstance(layer, HybridLayer) and not any(counts):
        return Conv2dLayer(kind="conv2d", kernel_size=layer.kernel_size)
    if isinstance(layer, HybridLayer) and counts == [stage.out_channels for stage in layers(model)]:
        kept = {name: getattr(layer, name) for name in ConvNNLayer.model_fields if name != "kind"}
        layer = ConvNNLayer(kind="convnn", **kept)
    if isinstance(layer, Conv2dLayer):
        return layer
    shapes = [patched(stage.shape, layer.patch) for stage, count in zip(layers(model), counts, strict=True) if count]
    if layer.position == "none":
        layer = layer.model_copy(update={"position_scaling": "none"})
    elif layer.k == 1 and layer.self_first:
        alone = {"position_scaling": "none"} | ({"position": "none"} if layer.position == "similarity" else {})
        layer = layer.model_copy(update=alone) if layer.projections == "identity" else layer
    if layer.k == 1 and layer.self_first and layer.position == "none":
        layer = layer.model_copy(update={"padding": 0})
    found: Layer = _neighborly(layer, shapes, layer.padding)
    return found


def _attention(model: ViTTiny) -> Any:  # noqa: ANN401 - the kind it was
    attention = model.attention
    if not isinstance(attention, ConvNNAttention | HybridAttention):
        return attention
    if not any(convnn_counts(model)):  # attention and the joining convolution alone
        assert isinstance(attention, HybridAttention)
        return HybridAttention(kind="hybrid", lam=0.0)
    return _neighborly(attention, [(vit_tokens(model.image_size, model.patch_size),)], 0)


def _neighborly(layer: Neighborly, shapes: list[tuple[int, ...]], padding: int) -> Any:  # noqa: ANN401 - its kind
    if layer.k == 1 and layer.self_first:
        nothing = {"similarity": "cosine", "rho": "constant", "self_score": None, "candidates": AllCandidates()}
        return layer.model_copy(update=nothing)
    candidates = layer.candidates
    if isinstance(candidates, AllCandidates):
        return layer
    covers, enough = _coverage(candidates, layer.k, shapes, padding)
    if covers:
        return layer.model_copy(update={"candidates": AllCandidates()})
    if enough:
        return layer.model_copy(update={"candidates": candidates.model_copy(update={"when_too_few": "error"})})
    return layer


def _coverage(candidates: Drawn, k: int, shapes: list[tuple[int, ...]], padding: int) -> tuple[bool, bool]:
    """Whether the candidates are all tokens on every map, and whether every map has as many as asked."""
    tokens = [padded_tokens(shape, 0) for shape in shapes]
    rings = [padded_tokens(shape, padding) for shape in shapes]
    if isinstance(candidates, RandomCandidates):
        return candidates.r >= max(rings), candidates.r <= min(rings)
    if isinstance(candidates, StridedCandidates):
        left = [padded_tokens(tuple(-(-side // candidates.stride) for side in shape), 0) for shape in shapes]
        return candidates.stride == 1 and padding == 0, k <= min(left)
    asked, most = (
        (candidates.r, tokens) if isinstance(candidates, EvenCandidates) else (candidates.side, list(map(min, shapes)))
    )
    return asked > max(most) or (asked == max(most) and padding == 0), asked <= min(most)


def config_key(trial: TrialConfig) -> str:
    """16 hexadecimal digits that equivalent configurations share, whatever their seed."""
    form = canonical(trial)
    content: dict[str, Any] = form.model_dump(mode="json")
    content["data"].pop("root")  # a path says where the images lie, not which they are
    content["training"].pop("seed")
    if isinstance(form.model, VGG11):
        del content["model"]["width"]
        content["model"]["channels"] = [stage.out_channels for stage in layers(form.model)]
    part = content["model"]["layer" if isinstance(form.model, VGG11) else "attention"]
    if isinstance(mixer(form.model), HybridLayer | HybridAttention):
        del part["lam"]
        part["convnn_channels"] = convnn_counts(form.model)
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
