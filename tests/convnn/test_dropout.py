import math

import pytest
import torch
from torch.nn import functional as F

from convnn.dropout import add_dropped, dropout, kept

CPU = torch.device("cpu")
COUNT = 1_000_000


@pytest.mark.parametrize("rate", [0.05, 0.1, 0.5, 0.9])
def test_the_right_fraction_is_dropped_and_the_expectation_is_preserved(rate: float) -> None:
    torch.manual_seed(0)
    x = torch.ones(COUNT)
    y = dropout(x, rate, training=True)
    dropped = (y == 0).double().mean().item()
    assert dropped == pytest.approx(rate, abs=5 * math.sqrt(rate * (1 - rate) / COUNT))
    assert y.max().item() == pytest.approx(1 / (1 - rate), rel=2e-4)
    assert y.double().mean().item() == pytest.approx(1, abs=5 * math.sqrt(rate / (1 - rate) / COUNT))


def test_elements_that_share_a_word_are_dropped_independently() -> None:
    torch.manual_seed(0)
    (stay,) = kept(0.5, [(COUNT // 4, 4)], CPU)
    together = torch.corrcoef(stay.double().T)
    assert (together - torch.eye(4)).abs().max() < 5 / math.sqrt(COUNT / 4)
    (later,) = kept(0.5, [(COUNT // 4, 4)], CPU)
    assert (stay == later).double().mean().item() == pytest.approx(0.5, abs=0.005)


def test_draws_depend_on_torchs_seed_and_shapes_need_not_fill_words() -> None:
    torch.manual_seed(7)
    first, second = kept(0.3, [(3, 5), (2,)], CPU)
    torch.manual_seed(7)
    (whole,) = kept(0.3, [(17,)], CPU)
    assert torch.equal(torch.cat([first.flatten(), second]), whole)
    assert first.shape == (3, 5)


def test_gradients_pass_where_values_do() -> None:
    x, base = (torch.randn(40, 6, dtype=torch.float64, requires_grad=True) for _ in range(2))
    (stay,) = kept(0.4, [x.shape], CPU)
    y = add_dropped(base, x, 0.4, training=True, stay=stay)
    scale = 2**16 / (2**16 - round(0.4 * 2**16))
    torch.testing.assert_close(y, base + x * stay * scale)
    assert torch.autograd.gradcheck(lambda a, b: add_dropped(b, a, 0.4, training=True, stay=stay), (x, base))
    assert torch.autograd.gradcheck(lambda a: dropout(a, 0.4, training=True, stay=stay), (x,))


def test_evaluation_and_a_rate_of_zero_drop_nothing_and_draw_nothing() -> None:
    x = torch.randn(9)
    before = torch.get_rng_state()
    assert dropout(x, 0.5, training=False) is x
    assert dropout(x, 0.0, training=True) is x
    assert torch.equal(add_dropped(x, x, 0.5, training=False), 2 * x)
    assert torch.equal(torch.get_rng_state(), before)


def test_another_precision_and_a_compiled_graph() -> None:
    x = torch.randn(8, 4)
    assert add_dropped(x, x.bfloat16(), 0.1, training=True).dtype == torch.float32
    assert dropout(x.bfloat16(), 0.1, training=True).dtype == torch.bfloat16
    compiled = torch.compile(lambda a: dropout(a, 0.5, training=True), backend="eager", fullgraph=True)
    assert set((compiled(torch.ones(64)) * 1).tolist()) == {0.0, 2.0}
    assert set(F.dropout(torch.ones(64), 0.5).tolist()) == {0.0, 2.0}
