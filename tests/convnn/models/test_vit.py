from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from convnn.models.vit import ATTENTION_KINDS, ViT, resize, sinusoids, vit_tiny

TINY: dict[str, Any] = {"image_size": 32, "patch_size": 8, "depth": 2, "width": 12, "mlp_width": 24}
KINDS: dict[str, dict[str, Any]] = {
    "attention": {},
    "convnn": {"k": 3, "candidates": "random", "r": 5},
    "kvt": {"k": 3},
    "local": {"window": 4, "head_dim": 4},
    "sparse": {"context": 5},
    "hybrid": {"lam": 0.5, "k": 3},
}


@pytest.mark.parametrize("heads", [1, 3])
@pytest.mark.parametrize("kind", ATTENTION_KINDS)
def test_every_kind_trains_every_parameter(kind: Any, heads: int) -> None:
    model = vit_tiny(7, kind, heads=heads, **TINY, **KINDS[kind])
    logits = model(torch.randn(3, 3, 32, 32))
    assert logits.shape == (3, 7)
    logits.square().sum().backward()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in model.parameters())


def test_the_model_is_the_published_one_step_by_step() -> None:
    model = vit_tiny(7, **TINY).double().eval()
    images = torch.randn(2, 3, 32, 32, dtype=torch.float64)
    x = model.norm(model.patches(images).flatten(2).transpose(1, 2))
    x = torch.cat([model.class_token.expand(2, 1, 12), x], dim=1) + model.positions
    assert isinstance(model.blocks, nn.Sequential)
    for block in model.blocks:
        x = x + block.attention(block.norm1(x))  # type: ignore[operator]
        x = x + block.mlp(block.norm2(x))  # type: ignore[operator]
    torch.testing.assert_close(model(images), model.classifier(x[:, 0]))


def test_positions_are_sines_and_cosines_with_the_class_token_first() -> None:
    table = sinusoids(5, 6)[0]
    for place in range(5):
        for pair in range(3):
            angle = place / 10_000 ** (2 * pair / 6)
            assert table[place, 2 * pair].item() == pytest.approx(np.sin(angle), abs=1e-6)
            assert table[place, 2 * pair + 1].item() == pytest.approx(np.cos(angle), abs=1e-6)
    assert table[0].tolist() == [0, 1, 0, 1, 0, 1]


@pytest.mark.parametrize("size", [224, 48, 20])
def test_images_are_resized_within_one_gray_level_of_pillows_bilinear(size: int) -> None:
    raw = np.random.default_rng(0).integers(0, 256, (32, 32, 3), dtype=np.uint8)
    pillow = np.asarray(Image.fromarray(raw).resize((size, size), Image.Resampling.BILINEAR), dtype=np.float32)
    ours = resize(torch.from_numpy(raw).permute(2, 0, 1)[None].float(), size)[0].permute(1, 2, 0)
    assert np.abs(ours.numpy() - pillow).max() <= 1.001  # two roundings of half a level, and float32's own


def test_resizing_and_normalizing_commute() -> None:
    images = torch.rand(2, 3, 32, 32, dtype=torch.float64)
    torch.testing.assert_close(resize((images - 0.4) / 0.2, 224), (resize(images, 224) - 0.4) / 0.2)


def test_images_of_any_size_are_accepted() -> None:
    assert vit_tiny(7, **TINY)(torch.randn(1, 3, 17, 17)).shape == (1, 7)


@pytest.mark.parametrize(
    ("kind", "extra", "parameters"),
    [
        ("attention", {}, 5_479_306),
        ("kvt", {}, 5_479_306),
        ("local", {"head_dim": 64}, 4_299_658),
        ("sparse", {}, 5_479_306),
        ("convnn", {}, 5_500_042),
        ("convnn", {"aggregation": "depthwise_separable"}, 5_942_410),
        ("convnn", {"aggregation": "standard"}, 9_460_618),
    ],
)
def test_vit_tiny_has_the_published_number_of_parameters(kind: Any, extra: dict[str, Any], parameters: int) -> None:
    with torch.device("meta"):
        model = vit_tiny(10, kind, **extra)
    assert sum(p.numel() for p in model.parameters()) == parameters


def test_a_seed_gives_the_same_weights_under_options_without_parameters() -> None:
    models: list[ViT] = []
    for extra in ({}, {"candidates": "random", "r": 5}, {"candidates": "even", "r": 5}):
        torch.manual_seed(4)
        models.append(vit_tiny(7, "convnn", k=3, **TINY, **extra))  # type: ignore[arg-type]
    first = models[0].state_dict()
    assert all(torch.equal(first[name], x) for model in models[1:] for name, x in model.state_dict().items())


def test_r_of_all_tokens_equals_all_bit_for_bit() -> None:
    everything, random = (
        vit_tiny(7, "convnn", k=3, **TINY),
        vit_tiny(7, "convnn", k=3, candidates="random", r=17, **TINY),
    )
    random.load_state_dict(everything.state_dict())
    images = torch.randn(2, 3, 32, 32)
    outputs = []
    for model in (everything, random):
        torch.manual_seed(0)
        outputs.append(model(images))
    assert torch.equal(*outputs)


@pytest.mark.parametrize(
    ("build", "error", "message"),
    [
        (lambda: vit_tiny(7, "mean"), ValueError, "attention must be one of attention, convnn, kvt"),  # type: ignore[arg-type]
        (lambda: vit_tiny(7, image_size=30, patch_size=16), ValueError, "patch_size must divide image_size, .* is 32"),
        (lambda: vit_tiny(7, depth=0), ValueError, "depth must be an integer, at least 1"),
        (lambda: vit_tiny(7, width=190, heads=3), ValueError, "heads must divide dim, got dim=190, heads=3"),
        (lambda: vit_tiny(7, "attention", k=9), TypeError, "unexpected keyword argument 'k'"),
        (lambda: vit_tiny(7, **TINY)(torch.randn(1, 1, 32, 32)), ValueError, r"the images must be \(B, 3, S, S\)"),
    ],
)
def test_options_that_do_not_fit_are_refused(build: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        build()
