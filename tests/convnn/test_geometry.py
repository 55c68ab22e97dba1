from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from convnn.candidates import CandidateRule, own_tokens
from convnn.geometry import Stage, candidate_count, padded_tokens, patched, vgg11_stages, vit_tokens
from convnn.layers import HybridBranch2d
from convnn.models.vgg import vgg11
from convnn.models.vit import vit_tiny

shapes = st.one_of(st.tuples(st.integers(1, 13)), st.tuples(st.integers(1, 7), st.integers(1, 11)))


@given(shapes, st.integers(0, 2), st.sampled_from(["all", "random", "strided", "lattice", "even"]), st.integers(1, 20))
def test_the_closed_form_counts_the_candidates_of_the_layers(
    shape: tuple[int, ...], padding: int, kind: Any, amount: int
) -> None:
    if kind == "lattice" and len(shape) == 1:
        kind = "even"
    name = {"random": "r", "even": "r", "strided": "stride", "lattice": "side"}.get(kind)
    options: dict[str, Any] = {} if name is None else {name: amount}
    rule = CandidateRule(kind, k=1, when_too_few="all", **options)
    found = rule.indices(shape, padding)
    total = padded_tokens(shape, padding)
    count = candidate_count(shape, kind, k=1, padding=padding, when_too_few="all", **options)
    assert count == (total if found is None else len(set(found.tolist())))
    if found is not None:
        assert found.numel() == count
        assert set(found.tolist()) <= set(range(total))
        if kind != "random":
            assert set(found.tolist()) <= set(own_tokens(shape, padding).tolist())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"k": 50}, r"k must be 1 to 49 \(candidate tokens\), got k=50"),
        ({"candidates": "random", "r": 50, "k": 1}, "r must be 1 to 49 .*, got r=50; try when_too_few='all'"),
        (
            {"candidates": "strided", "stride": 3, "k": 5},
            "stride=3 leaves 4 of 25 tokens as candidates, fewer than k=5",
        ),
        ({"candidates": "lattice", "side": 6, "k": 1}, r"side must be 1 to 5 \(side of the map\), got side=6"),
        ({"candidates": "even", "r": 26, "k": 1}, r"r must be 1 to 25 \(tokens of the map\), got r=26"),
    ],
)
def test_too_few_tokens_are_rejected_with_the_way_out(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        candidate_count((5, 5), padding=1, **options)


def test_a_patch_divides_the_sides() -> None:
    assert patched((6, 4), 2) == (3, 2)
    with pytest.raises(ValueError, match="patch must divide every side of the map, got patch=4 for 6 x 4; try patch=1"):
        patched((6, 4), 4)


def test_a_stage_counts_the_candidates_of_its_patches_with_the_ring() -> None:
    stage = Stage("conv5", 256, 512, 4)
    assert stage.candidates(padding=1) == 36
    assert stage.candidates(padding=1, patch=2) == 16


def test_vgg11_has_the_published_maps() -> None:
    sides = [stage.side for stage in vgg11_stages() if stage is not None]
    assert sides == [32, 16, 8, 8, 4, 4, 2, 2]
    model = vgg11(7, 0.5, width=1 / 16, classifier_width=12).eval()
    seen: list[int] = []
    for module in model.modules():
        if isinstance(module, HybridBranch2d):
            module.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[-1]))
    assert model(torch.randn(3, 3, 32, 32)).shape == (3, 7)
    assert seen == sides


@pytest.mark.parametrize(("image_size", "patch_size", "tokens"), [(224, 16, 197), (32, 8, 17), (32, 32, 2)])
def test_a_vit_has_a_token_per_patch_and_the_class_token(image_size: int, patch_size: int, tokens: int) -> None:
    assert vit_tokens(image_size, patch_size) == tokens
    with torch.device("meta"):
        assert vit_tiny(7, image_size=image_size, patch_size=patch_size).positions.shape[1] == tokens
