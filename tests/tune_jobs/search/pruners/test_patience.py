import math
from typing import Literal

import pytest

from search_spaces.settings import Patience
from tests.tune_jobs.search.pruners.judged import Judged


def stops(*values: float, min_delta: float = 0.0, direction: Literal["maximize", "minimize"] = "maximize") -> bool:
    rule = Patience(kind="patience", patience_epochs=3, min_delta=min_delta)
    return Judged(rule, direction).stops(*values)


def test_a_trial_stops_after_patience_epochs_without_an_improvement() -> None:
    assert not stops(0.5, 0.4, 0.5)
    assert stops(0.5, 0.4, 0.5, 0.3)
    assert not stops(0.5, 0.4, 0.5, 0.6)
    assert stops(0.5, 0.6, 0.6, 0.6, 0.6)
    assert stops(0.5, 0.6, 0.7, 0.7, direction="minimize")


def test_an_epoch_improves_only_by_more_than_min_delta_over_the_best_one() -> None:
    slowly = [0.5, 0.54, 0.58, 0.62]
    assert not stops(*slowly)
    assert not stops(*slowly, min_delta=0.1)  # the total improvement is larger
    assert stops(*slowly, min_delta=0.2)


@pytest.mark.parametrize("value", [math.nan, -math.inf])
def test_nan_and_minus_infinity_never_improve(value: float) -> None:
    assert stops(0.5, value, value, value)
    assert stops(value, value, value, value)
    assert not stops(value, 0.1, value, value)
