"""Compare our layers with the authors', recorded on small inputs in float64."""

import copy
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from convnn import attention
from convnn.attention import ConvNNAttention, LocalAttention
from convnn.candidates import CandidateRule
from convnn.layers import ConvNN2d, HybridBranch2d
from convnn.softmax import rotate
from tests.convnn.ties import watched

GOLDEN = Path(__file__).parent / "golden"
NAMES = sorted(path.stem for path in GOLDEN.glob("*.npz"))


def load(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "config"}
        return json.loads(str(file["config"])), arrays


def build(config: dict[str, Any]) -> nn.Module:
    """Build our layer for a recorded configuration, with the options of the published runs."""
    options = {key: value for key, value in config.items() if key not in ("layer", "mode", "exact_window")}
    if "dim_head" in options:
        options["head_dim"] = options.pop("dim_head")
    kind = config["layer"]
    if kind == "HybridBranch2d":
        return HybridBranch2d(**options)
    if kind == "ConvNN2d":
        options["position_scaling"] = "std" if config["position"] in ("similarity", "both") else "none"
        return ConvNN2d(**options)
    if kind == "ConvNNAttention":
        options["aggregation"] = options["aggregation"].replace("-", "_")
        options["self_first"] = "self_score" in options
        options["candidates"] = options["candidates"].replace("spatial", "even")
    layer: nn.Module = getattr(attention, kind)(**options)
    return layer


def weights(arrays: dict[str, Tensor], layer: nn.Module) -> dict[str, Tensor]:
    found = {re.sub(r"^convnn\.", "convnn.conv.", key[2:]): x for key, x in arrays.items() if key.startswith("w.")}
    if isinstance(layer, LocalAttention):  # the published layer rotates query i as if its position were i + window
        found["query.weight"] = rotate(found["query.weight"].T.unsqueeze(1), layer.window).squeeze(1).T
    return found


def test_every_recorded_layer_is_tested() -> None:
    assert len(NAMES) == 25


def expect_as_recorded(name: str, implementation: str, device: str = "cpu") -> None:
    """Fail unless our layer's output and the input's gradient equal the recorded ones.

    If a token has equally similar candidates, the authors' choice among them is unknown. Only such tokens may have
    another output.
    """
    config, arrays = load(name)
    layer = build(config).double()
    layer.load_state_dict(weights(arrays, layer))
    for module in layer.modules():
        if hasattr(module, "implementation"):
            module.implementation = implementation  # type: ignore[assignment]
    x = arrays["x"].to(device).requires_grad_()
    extra = [arrays["candidate_indices"].to(device)] if "candidate_indices" in arrays else []
    tied = ties(layer, arrays["x"], [index.cpu() for index in extra])
    y = layer.to(device)(x, *extra)
    y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype, device=device).reshape(y.shape))
    assert x.grad is not None
    atol = 2e-8 if name == "local_window" else 1e-9  # see the next test
    if tied is not None and y[:, 0].numel() == tied.numel():  # a map whose tokens are pixels
        other = (y.detach().cpu() - arrays["y"]).abs().amax(1).flatten(1) > atol
        assert not (other & ~tied).any()
        assert other.double().mean() < 0.03
        if other.any():
            return
    torch.testing.assert_close(y.cpu(), arrays["y"], rtol=0, atol=atol)
    torch.testing.assert_close(x.grad.cpu(), arrays["grad_x"], rtol=0, atol=atol)


def ties(layer: nn.Module, x: Tensor, extra: list[Tensor]) -> Tensor | None:
    """Return which tokens have equally similar candidates, `(B, N)`; `None` if nothing is selected."""
    defined = copy.deepcopy(layer)
    for module in defined.modules():
        if hasattr(module, "implementation"):
            module.implementation = "naive"  # type: ignore[assignment]
    with torch.no_grad(), watched() as found:
        defined(x, *extra)
    return found[0] if found else None


@pytest.mark.parametrize("implementation", ["default", "naive"])
@pytest.mark.parametrize("name", NAMES)
def test_outputs_and_gradients_equal_the_authors_recorded_layer(name: str, implementation: str) -> None:
    expect_as_recorded(name, implementation)


def test_the_recorded_local_layer_differs_from_ours_only_by_its_float32_rotations() -> None:
    config, arrays = load("local_window")
    window, half = config["window"], config["dim_head"] // 2
    speed = 1.0 / 10_000.0 ** (torch.arange(0, 2 * half, 2).float() / (2 * half))

    def turned(token: Tensor, place: int) -> Tensor:
        cos, sin = (place * speed).cos().double(), (place * speed).sin().double()  # rounded to float32 on the way
        first, second = token[:half], token[half:]
        return torch.cat([first * cos - second * sin, second * cos + first * sin])

    expected = torch.empty_like(arrays["x"])
    for image, x in enumerate(arrays["x"]):
        query, key, value = (x @ arrays[f"w.{name}.weight"].T for name in ("query", "key", "value"))
        for i in range(len(x)):
            first = (i // window - 1) * window  # the first of the three windows of token i
            near = [j for j in range(len(x)) if abs(i - j) <= window]
            q = turned(query[i], i - first + window)
            scores = torch.stack([q @ turned(key[j], j - first) for j in near]) / (2 * half) ** 0.5
            expected[image, i] = scores.softmax(0) @ value[near] @ arrays["w.out.weight"].T
    torch.testing.assert_close(arrays["y"], expected, rtol=0, atol=1e-9)


def test_even_candidates_are_the_published_ones() -> None:
    _, arrays = load("convnn_spatial6_depthwise_k4")
    assert torch.equal(CandidateRule("even", k=4, r=6).indices((10,)), arrays["candidate_indices"])  # type: ignore[arg-type]
    layer = ConvNNAttention(12, k=4, candidates="even", r=6)
    x = torch.randn(2, 10, 12)
    assert torch.equal(layer(x), layer(x, arrays["candidate_indices"]))
