import pytest
import torch

from convnn import naive
from tests.convnn.tensors import SIMILARITIES, tensors


@pytest.mark.parametrize("similarity", SIMILARITIES)
@pytest.mark.parametrize("softmax", [False, True])
def test_the_definition_is_the_papers_token_by_token(similarity: str, softmax: bool) -> None:
    x, weight, bias = tensors(7, 5), tensors(3, 5, 4, seed=1), tensors(3, seed=2)
    y = naive.convolve_neighbors(x[None], x[None], x[None], weight, bias, k=4, similarity=similarity, softmax=softmax)  # type: ignore[arg-type]
    for i, q in enumerate(x):
        scores = {
            "cosine": torch.stack([q @ t / (q.norm() * t.norm()) for t in x]),
            "dot": torch.stack([q @ t / 5**0.5 for t in x]),
            "euclidean": torch.stack([-(q - t).square().sum().sqrt() for t in x]),
        }
        best = scores[similarity].topk(4)
        rho = best.values.softmax(0) if softmax else torch.ones(4, dtype=torch.float64)
        total = bias.clone()
        for rank in range(4):
            total += weight[:, :, rank] @ (rho[rank] * x[best.indices[rank]])
        torch.testing.assert_close(y[0, i], total)


@pytest.mark.parametrize("first", [False, True])
def test_in_the_definition_ties_go_to_the_lowest_index(first: bool) -> None:  # oracle: sorted()
    kinds = torch.tensor([[1.0, 0], [0, 1], [1, 0], [0, 0], [2, 0], [0, 0]], dtype=torch.float64)
    key = kinds.repeat(3, 1)
    values = torch.eye(len(key), dtype=torch.float64)  # values identify the candidate
    own = naive.SelfNeighbor(0.0, torch.arange(len(key)), None) if first else None
    weight = torch.eye(len(key), dtype=torch.float64).unsqueeze(-1) * torch.tensor([1.0, 10, 100, 1000])
    found = naive.convolve_neighbors(
        key[None], key[None], values[None], weight, None, k=4, similarity="dot", softmax=False, own=own
    )[0]
    for query, row in enumerate(found):
        others = [i for i in range(len(key)) if not first or i != query]
        ranked = sorted(others, key=lambda i: (-float(key[query] @ key[i]), i))
        expected = ([query] if first else []) + ranked[: 4 - first]
        assert [int(row.tolist().index(10.0**rank)) for rank in range(4)] == expected
