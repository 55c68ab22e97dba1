import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from convnn.aggregation import gather_rows
from convnn.geometry import vgg11_stages
from convnn.layers import ConvNN2d, HybridBranch2d
from convnn.models.vgg import vgg11
from convnn.selection import select_neighbors
from convnn.similarity import neighbor_similarity, pairwise_similarity

GOLDEN = Path(__file__).parent / "golden"


def load(name: str) -> tuple[dict[str, Any], dict[str, Tensor]]:
    with np.load(GOLDEN / f"{name}.npz") as file:
        arrays = {key: torch.from_numpy(file[key]) for key in file.files if key != "config"}
        return json.loads(str(file["config"])), arrays


def build(config: dict[str, Any]) -> nn.Module:
    options = {key: value for key, value in config.items() if key not in ("layer", "patch")}
    if config["layer"] == "ConvNN2d":
        return ConvNN2d(**options)
    return HybridBranch2d(**options)


@pytest.mark.parametrize("name", sorted(path.stem for path in GOLDEN.glob("*.npz")))
def test_outputs_and_gradients_equal_the_authors_recorded_layer(name: str) -> None:
    config, arrays = load(name)
    layer = build(config).double()
    weights = {key[2:]: value for key, value in arrays.items() if key.startswith("w.")}
    layer.load_state_dict({re.sub(r"^convnn\.", "convnn.conv.", key): value for key, value in weights.items()})
    x = arrays["x"].requires_grad_()
    extra = [arrays["candidate_indices"]] if "candidate_indices" in arrays else []
    y = layer(x, *extra)
    y.backward(torch.linspace(-1, 1, y.numel(), dtype=y.dtype).reshape(y.shape))
    torch.testing.assert_close(y, arrays["y"], rtol=0, atol=1e-9)
    torch.testing.assert_close(x.grad, arrays["grad_x"], rtol=0, atol=1e-9)


def test_choosing_by_position_is_conv2d() -> None:
    layer = ConvNN2d(5, 4, k=25, padding=3, position="only").double()
    x = torch.randn(2, 5, 7, 11, dtype=torch.float64)
    expected = F.conv2d(x, layer.conv.weight.view(4, 5, 5, 5), layer.conv.bias, padding=2)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
@pytest.mark.parametrize("rho", ["constant", "softmax"])
def test_the_layer_is_the_papers_definition_token_by_token(similarity: str, rho: str) -> None:
    layer = ConvNN2d(5, 3, k=4, similarity=similarity, rho=rho, padding=1, self_first=False).double()  # type: ignore[arg-type]
    x = torch.randn(2, 5, 3, 7, dtype=torch.float64)
    y = layer(x)
    for image in range(2):
        tokens = [F.pad(x[image], (1, 1, 1, 1))[:, i, j] for i in range(5) for j in range(9)]
        for row in range(3):
            for column in range(7):
                q = x[image, :, row, column]
                if similarity == "cosine":
                    scores = torch.stack([F.cosine_similarity(q, t, dim=0) for t in tokens])
                else:
                    scores = torch.stack([-(q - t).norm() for t in tokens])
                best = scores.topk(4)
                weights = best.values.softmax(0) if rho == "softmax" else torch.ones(4, dtype=torch.float64)
                total = layer.conv.bias
                assert total is not None
                for rank in range(4):
                    total = total + layer.conv.weight[:, :, rank] @ tokens[best.indices[rank]] * weights[rank]
                torch.testing.assert_close(y[image, :, row, column], total)


def test_no_candidate_left_out_is_more_similar_than_the_last_one_kept() -> None:
    tokens = torch.randn(3, 13, 5)
    query = torch.arange(13)
    chosen = select_neighbors(tokens, query, 4, similarity="euclidean", self_first=False)
    scores = pairwise_similarity(tokens, tokens, "euclidean")
    kept = scores.gather(-1, chosen)
    left = scores.scatter(-1, chosen, -torch.inf).amax(-1)
    assert (kept[..., -1] >= left).all()
    assert (kept.diff(dim=-1) <= 0).all()


@pytest.mark.parametrize("similarity", ["cosine", "euclidean"])
def test_the_scores_that_rank_and_the_scores_that_weigh_agree(similarity: Any) -> None:
    tokens = torch.randn(2, 11, 5, dtype=torch.float64)
    everyone = torch.arange(11).expand(2, 11, 11)
    weigh = neighbor_similarity(tokens, gather_rows(tokens, everyone), similarity)
    rank = pairwise_similarity(tokens, tokens, similarity)
    torch.testing.assert_close(weigh if similarity == "cosine" else -weigh.square(), rank, atol=1e-9, rtol=1e-9)


def test_a_large_batch_searched_in_groups_finds_the_same_neighbors(monkeypatch: pytest.MonkeyPatch) -> None:
    tokens = torch.randn(7, 17, 5)
    whole = select_neighbors(tokens, torch.arange(3, 17), 5)
    monkeypatch.setattr("convnn.selection.SCORES_AT_ONCE", 17 * 14 * 2)
    assert torch.equal(select_neighbors(tokens, torch.arange(3, 17), 5), whole)


def test_a_token_is_its_own_first_neighbor_even_when_it_was_not_drawn() -> None:
    tokens = torch.randn(2, 12, 5)
    chosen = select_neighbors(tokens, torch.arange(12), 3, candidate_index=torch.tensor([0, 5, 7, 9]))
    assert torch.equal(chosen[..., 0], torch.arange(12).expand(2, 12))
    assert (chosen[..., 1:] != chosen[..., :1]).all()
    assert set(chosen[..., 1:].flatten().tolist()) <= {0, 5, 7, 9}


def test_random_candidates_are_drawn_anew_at_every_pass_and_repeat_with_the_seed() -> None:
    layer = ConvNN2d(3, 4, k=3, candidates="random", r=6).eval()
    x = torch.randn(2, 3, 5, 5)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first)
    assert not torch.equal(first, second)


def test_r_beyond_the_tokens_is_refused_or_takes_all() -> None:
    x = torch.randn(1, 3, 4, 4)
    with pytest.raises(ValueError, match="r must be 1 to 36"):
        ConvNN2d(3, 4, k=3, candidates="random", r=37)(x)
    lenient = ConvNN2d(3, 4, k=3, candidates="random", r=37, when_too_few="all")
    everything = ConvNN2d(3, 4, k=3)
    everything.load_state_dict(lenient.state_dict())
    assert torch.equal(lenient(x), everything(x))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"similarity": "cosin"}, "similarity must be one of cosine, euclidean, got similarity='cosin'"),
        ({"candidates": "random"}, "r goes with candidates='random'"),
        ({"candidates": "random", "r": 4}, "r must be at least k"),
        ({"position": "only", "k": 8}, "needs k = 1, 9, 25"),
        ({"k": 0}, "k must be at least 1"),
    ],
)
def test_contradicting_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ConvNN2d(3, 4, **options)


def test_more_neighbors_than_candidates_are_refused() -> None:
    with pytest.raises(ValueError, match="k must be 1 to 16"):
        ConvNN2d(3, 4, k=17, padding=1)(torch.randn(1, 3, 2, 2))


@pytest.mark.parametrize("lam", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("rho", ["constant", "softmax"])
def test_every_parameter_gets_a_finite_gradient(lam: float, rho: str) -> None:
    layer = HybridBranch2d(3, 7, lam, k=5, rho=rho)
    x = torch.randn(2, 3, 5, 5, requires_grad=True)
    layer(x).square().sum().backward()
    assert x.grad is not None
    assert torch.isfinite(x.grad).all()
    assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in layer.parameters())


@pytest.mark.parametrize("lam", [0.0, 0.125, 0.25, 0.5, 0.875, 1.0])
@pytest.mark.parametrize(("classes", "published"), [(10, 130_015_690), (100, 130_384_420)])
def test_vgg11_has_the_published_number_of_parameters_at_every_lambda(lam: float, classes: int, published: int) -> None:
    with torch.device("meta"):
        model = vgg11(classes, lam, k=9)
    assert sum(p.numel() for p in model.parameters()) == published


def test_vgg11_sees_the_published_maps() -> None:
    sides = [stage.side for stage in vgg11_stages() if stage is not None]
    assert sides == [32, 16, 8, 8, 4, 4, 2, 2]
    model = vgg11(7, 0.5, width=1 / 16, classifier_width=12).eval()
    seen: list[int] = []
    for module in model.modules():
        if isinstance(module, HybridBranch2d):
            module.register_forward_hook(lambda _m, _i, out: seen.append(out.shape[-1]))
    assert model(torch.randn(3, 3, 32, 32)).shape == (3, 7)
    assert seen == sides
