from typing import Any

import pytest
import torch

from convnn.aggregation import gather_rows
from convnn.similarity import neighbor_similarity, pairwise_similarity
from tests.convnn.tensors import SIMILARITIES, tensors


@pytest.mark.parametrize("similarity", SIMILARITIES)
def test_pairs_and_lists_have_the_same_scores(similarity: Any) -> None:
    query, key = tensors(2, 7, 5), tensors(2, 11, 5, seed=1)
    everyone = torch.arange(11).expand(2, 7, 11)
    lists = neighbor_similarity(query, gather_rows(key, everyone), similarity)
    torch.testing.assert_close(lists, pairwise_similarity(query, key, similarity))
