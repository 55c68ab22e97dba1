from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.faults.strikes import NODES, TRIALS_AT_LEAST, UNTIL, draw

seeds, trials = st.integers(0, 10**6), st.integers(TRIALS_AT_LEAST, 400)


@given(seeds, trials)
def test_the_same_seed_gives_the_same_strikes(seed: int, trials: int) -> None:
    assert draw(seed, trials) == draw(seed, trials)


def test_other_seeds_give_other_strikes() -> None:
    assert draw(1, 30) != draw(2, 30)


@given(seeds, trials)
def test_only_running_nodes_leave_and_only_missing_nodes_return(seed: int, trials: int) -> None:
    there = set(NODES)
    for strike in draw(seed, trials):
        if strike.kind == "join":
            assert strike.node not in there
            there.add(strike.node)
        elif strike.kind != "driver":
            there.remove(strike.node)


@given(seeds, trials)
def test_the_driver_is_killed_twice_and_every_strike_comes_before_the_last_trials(seed: int, trials: int) -> None:
    strikes = draw(seed, trials)
    kinds = Counter(strike.kind for strike in strikes)
    assert kinds["driver"] == 2
    assert min(kinds["kill"], kinds["drain"], kinds["join"]) >= 1
    moments = [strike.after for strike in strikes]
    assert moments == sorted(moments)
    assert min(moments) >= 1
    assert max(moments) <= UNTIL * trials


def test_too_few_trials_are_refused() -> None:
    with pytest.raises(ValueError, match=f"at least {TRIALS_AT_LEAST}, got 9"):
        draw(0, 9)
