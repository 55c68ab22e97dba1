"""Configurations with the same computation are trained once: they agree at every step, bit for bit."""

from collections.abc import Mapping
from typing import Any

import pytest

from search_spaces import TrialConfig, canonical, config_key

SMALL = {"name": "vit_tiny", "image_size": 32, "patch_size": 8, "depth": 1, "dim": 8, "mlp_width": 4}
THIN = {"name": "vgg11", "width": 1 / 32, "classifier_width": 4}
TOKENS = 17


def attention(**options: Any) -> dict[str, Any]:
    return {"model": {**SMALL, "attention": options}}


def layer(**options: Any) -> dict[str, Any]:
    return {"model": {**THIN, "layer": options}}


def trained(**options: Any) -> dict[str, Any]:
    return {**layer(kind="conv2d"), **options}


def convnn(**options: Any) -> dict[str, Any]:
    return layer(kind="convnn", **options)


def strided(stride: int, **options: Any) -> dict[str, Any]:
    return {"kind": "strided", "stride": stride, **options}


def by_depth(**layers: Any) -> dict[str, Any]:
    return {"model": {**THIN, "layers": {name.replace("_", "-"): options for name, options in layers.items()}}}


CONV, HALF = {"kind": "conv2d"}, {"kind": "hybrid", "lambda": 0.5, "k": 3}
DRAWN = {**HALF, "candidates": {"kind": "random", "r": 16}}
LATTICE = {"kind": "lattice", "side": 2}
EVERYTHING = {"when_too_few": "all"}

SAME = [
    (attention(kind="local", head_dim=8), attention(kind="local")),
    (attention(kind="local", window=TOKENS - 1), attention(kind="local", window=TOKENS + 40)),
    (attention(kind="sparse", context=2 * TOKENS - 1), attention(kind="sparse", context=999)),
    (attention(kind="convnn", k=1), attention(kind="convnn", k=1, rho="constant")),
    (attention(kind="convnn", k=1, similarity="dot"), attention(kind="convnn", k=1, similarity="dot", rho="constant")),
    (convnn(k=1, self_first=False, rho="softmax"), convnn(k=1, self_first=False)),
    (
        convnn(k=1, self_first=False, rho="softmax", projections="linear"),
        convnn(k=1, self_first=False, projections="linear"),
    ),
    (convnn(k=2, candidates=strided(40, **EVERYTHING)), convnn(k=2)),
    (convnn(k=2, candidates=strided(32, **EVERYTHING), padding=0), convnn(k=2, padding=0)),
    (
        convnn(k=1, self_first=False, candidates=strided(32)),
        convnn(k=1, self_first=False, candidates=strided(1000, **EVERYTHING)),
    ),
    (
        attention(kind="convnn", k=1, candidates=strided(TOKENS)),
        attention(kind="convnn", k=1, candidates=strided(99)),
    ),
    (convnn(k=4, candidates=LATTICE, padding=3), convnn(k=4, candidates=LATTICE, padding=0)),
    (convnn(k=4, candidates=strided(1), padding=2), convnn(k=4, padding=0)),
    (
        convnn(k=3, self_first=False, rho="softmax", candidates={"kind": "even", "r": 4}),
        convnn(k=3, self_first=False, rho="softmax", candidates={"kind": "even", "r": 4}, padding=5),
    ),
    (by_depth(conv1_conv2=DRAWN, conv3_conv8=DRAWN), layer(**DRAWN)),
    (by_depth(conv1_conv2=DRAWN, conv3=DRAWN, conv4_conv8=CONV), by_depth(conv1_conv3=DRAWN, conv4_conv8=CONV)),
    (by_depth(conv1_conv4=DRAWN, conv5_conv8={**DRAWN, "lambda": 0}), by_depth(conv1_conv4=DRAWN, conv5_conv8=CONV)),
    (by_depth(conv1_conv6=DRAWN, conv7_conv8=HALF), layer(**DRAWN)),  # conv7 and conv8 have 16 tokens
]
DIFFERENT = [
    (by_depth(conv1_conv4=CONV, conv5_conv8=HALF), by_depth(conv1_conv5=CONV, conv6_conv8=HALF)),
    (attention(kind="local", head_dim=6), attention(kind="local")),
    (attention(kind="local", window=TOKENS - 2), attention(kind="local")),
    (attention(kind="sparse", context=2 * TOKENS - 3), attention(kind="sparse")),
    (attention(kind="convnn", k=2), attention(kind="convnn", k=2, rho="constant")),
    (convnn(k=2, candidates=strided(16, **EVERYTHING)), convnn(k=2)),  # the first map has four candidates
    (
        convnn(k=1, self_first=False, candidates=strided(31)),
        convnn(k=1, self_first=False, candidates=strided(32)),
    ),
    (convnn(k=4, candidates=LATTICE, position="both"), convnn(k=4, candidates=LATTICE, position="both", padding=0)),
    (
        convnn(k=4, candidates={"kind": "lattice", "side": 8, **EVERYTHING}),  # the last maps take everything
        convnn(k=4, candidates={"kind": "lattice", "side": 8, **EVERYTHING}, padding=0),
    ),
    (trained(data={"limit": 1441}), trained()),
    (trained(data={"limit": 100}, training={"batch_size": 99}), trained(data={"limit": 100})),
    (trained(training={"batch_size": 1441}), trained(training={"batch_size": 1442})),
    (
        trained(data={"name": "cifar10", "limit": 20_000}),  # this is all test images, but not all training images
        trained(data={"name": "cifar10"}),
    ),
]
TAKE_THE_SAME = [
    (trained(data={"limit": 1442}), trained(data={"limit": None})),
    (trained(data={"name": "cifar100", "limit": 10**9}), trained(data={"name": "cifar100"})),
    (trained(training={"batch_size": 1442}), trained(training={"batch_size": 65536})),
    (trained(data={"limit": 100}, training={"batch_size": 120}), trained(data={"limit": 100})),
]


def both(pair: tuple[Mapping[str, Any], Mapping[str, Any]]) -> tuple[TrialConfig, TrialConfig]:
    first, second = map(TrialConfig.model_validate, pair)
    return first, second


@pytest.mark.parametrize("pair", SAME + TAKE_THE_SAME, ids=str)
def test_configurations_with_the_same_computation_are_merged(pair: tuple[Any, Any]) -> None:
    first, second = both(pair)
    assert first != second
    assert canonical(first) == canonical(second)
    assert config_key(first) == config_key(second)


@pytest.mark.parametrize("pair", DIFFERENT, ids=str)
def test_configurations_with_different_computations_are_not_merged(pair: tuple[Any, Any]) -> None:
    first, second = both(pair)
    assert config_key(first) != config_key(second)


def weights(trial: TrialConfig) -> list[Any]:
    """Return the weights after a few steps."""
    import torch

    from tune_jobs.worker.build import build_model

    torch.manual_seed(0)
    model = build_model(trial.model, 10).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=0.05, weight_decay=0.1)
    for step in range(3):
        images = torch.randn(4, 3, 32, 32, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(images), torch.arange(4)).backward()
        optimizer.step()
    return [weight.detach() for weight in model.parameters()]


@pytest.mark.parametrize("pair", SAME, ids=str)
def test_merged_configurations_train_identically_bit_for_bit(pair: tuple[Any, Any]) -> None:
    import torch

    first, second = both(pair)
    for one, other, form in zip(weights(first), weights(second), weights(canonical(first)), strict=True):
        assert torch.equal(one, other)
        assert torch.equal(one, form)


@pytest.mark.parametrize("pair", DIFFERENT[:8], ids=str)
def test_different_configurations_train_differently(pair: tuple[Any, Any]) -> None:
    import torch

    first, second = map(weights, both(pair))
    assert not all(
        one.shape == other.shape and torch.equal(one, other) for one, other in zip(first, second, strict=True)
    )


@pytest.mark.parametrize("evaluation", ["holdout", "paper"])
def test_all_batch_sizes_that_take_all_images_are_the_same(evaluation: str) -> None:
    from search_spaces.settings import Holdout, Paper
    from tune_jobs.worker.attempt import train

    how = Paper(protocol="paper") if evaluation == "paper" else Holdout()
    pair = both(
        (
            trained(data={"limit": 40}, training={"batch_size": 60, "epochs": 2}),
            trained(data={"limit": 40}, training={"epochs": 2}),
        )
    )
    first, second = ([(r.train_loss, r.metrics()) for r in train(trial, how, threads=1)] for trial in pair)
    assert [losses for losses, _ in first] == [losses for losses, _ in second]
