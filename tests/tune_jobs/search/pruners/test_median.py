import math
from typing import Literal

import optuna
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.settings import Median
from tests.search_spaces.strategies import fixed
from tests.tune_jobs.search.pruners.judged import Judged

RULE = Median(kind="median", grace_epochs=2, startup_trials=3)


def test_a_trial_stops_if_its_best_epoch_is_worse_than_the_median_of_complete_trials() -> None:
    found = Judged(RULE)
    found.complete(0.1, 0.2, 0.9)
    found.complete(0.1, 0.4, 0.5)
    assert not found.stops(0.0, 0.0)  # only two trials are complete
    found.complete(0.1, 0.6, 0.7)
    assert not found.stops(0.0)  # before grace_epochs
    assert found.stops(0.1, 0.3)
    assert not found.stops(0.1, 0.4)  # as good as the median
    assert not found.stops(0.5, 0.3)  # its first epoch is better
    assert found.stops(0.1, 0.2, 0.6)
    assert found.stops(math.nan, math.nan)


@settings(fixed, max_examples=30)
@given(
    st.lists(st.lists(st.integers(0, 999), min_size=3, max_size=3), min_size=3, max_size=7),
    st.lists(st.integers(0, 999), min_size=1, max_size=3),
    st.sampled_from(["maximize", "minimize"]),
)
def test_the_rule_decides_like_optunas_median_pruner(
    complete: list[list[float]], own: list[float], direction: Literal["maximize", "minimize"]
) -> None:
    found = Judged(RULE, direction)
    for values in complete:
        found.complete(*values)
    theirs = optuna.pruners.MedianPruner(n_startup_trials=3, n_warmup_steps=2)
    assert found.stops(*own) == theirs.prune(found.study, found.study.trials[-1])
