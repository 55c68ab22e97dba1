import pytest
import torch

from convnn.aggregation import gather_aggregate, one_hot_aggregate, sums_at_once, sums_by_rank
from tests.convnn.tensors import tensors


@pytest.mark.parametrize("depthwise", [False, True])
def test_one_hot_rows_and_gathered_rows_give_the_same_result(depthwise: bool) -> None:
    value, rho = tensors(2, 11, 5), tensors(2, 7, 3, seed=1)
    weight = tensors(5 if depthwise else 4, 1 if depthwise else 5, 3, seed=2)
    neighbors = torch.randint(0, 11, (2, 7, 3), generator=torch.Generator().manual_seed(0))
    expected = one_hot_aggregate(value, neighbors, rho, weight)
    torch.testing.assert_close(gather_aggregate(value, neighbors, rho, weight), expected)


def test_both_ways_to_sum_over_ranks_agree() -> None:
    x, weights, ranks = tensors(7, 4, 5), tensors(7, 4, seed=1), tensors(4, 5, seed=2)
    expected = (x * weights.unsqueeze(-1)).sum(0), (x * ranks).sum(-1)
    for sums in (sums_by_rank, sums_at_once):
        torch.testing.assert_close(sums(x, weights, ranks), expected)
