"""The gain from more trials: properties of the estimates, and that they hold if trials are in random order."""

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tune_jobs.results.forecast import (
    ALONE,
    FEWEST,
    Tried,
    chance_of_more,
    earliest_end,
    forecast,
    is_enough,
    tried,
)

accuracies = st.lists(st.floats(0, 1).map(lambda value: round(value, 3)), min_size=FEWEST, max_size=40)
margins = st.floats(0.001, 0.5)


def of(finals: list[float], others: int = 0, *, learns: bool = False) -> Tried:
    return Tried(tuple(finals), others, maximize=True, learns=learns)


def test_with_few_trials_close_to_the_best_the_chance_is_that_the_overall_best_is_still_to_come() -> None:
    finals = [0.5 + number / 100 for number in range(ALONE + 5)]
    assert chance_of_more(of(finals), 5, 0.001) == pytest.approx(5 / 20)
    assert chance_of_more(of(finals, others=5), 5, 0.001) == pytest.approx(5 / 25)  # five were stopped


@given(accuracies, margins, st.integers(1, 100))
def test_the_chance_is_at_most_that_of_any_gain_and_falls_with_the_margin(
    finals: list[float], within: float, left: int
) -> None:
    found = of(finals)
    chance = chance_of_more(found, left, within)
    assert 0 <= chance <= left / (len(finals) + left)
    assert chance_of_more(found, left, 2 * within) <= chance
    assert chance_of_more(found, left + 1, within) >= chance
    assert chance_of_more(dataclasses.replace(found, learns=True), left, within) >= chance


@given(accuracies, margins, st.randoms())
def test_neither_the_order_nor_the_goal_matters(finals: list[float], within: float, random: object) -> None:
    shuffled = list(finals)
    random.shuffle(shuffled)  # type: ignore[attr-defined]
    found = of([value / 2 for value in finals])
    losses = Tried(tuple(1 - value / 2 for value in shuffled), 0, maximize=False)
    assert chance_of_more(losses, 9, within) == chance_of_more(found, 9, within)


def test_few_trials_give_no_forecast_and_no_remaining_trials_no_chance() -> None:
    few = of([0.9] * (FEWEST - 1), others=100)
    assert chance_of_more(few, 1, 0.5) == 1
    assert forecast(few, 10) is None
    assert chance_of_more(few, 0, 0.5) == 0


def test_an_accuracy_cannot_gain_more_than_up_to_1() -> None:
    found = of([0.5, 0.6, 0.7, 0.8, 0.9, 0.99, 0.995, 0.9])
    assert chance_of_more(found, 1000, 0.005) == 0
    likely = forecast(found, 1000)
    assert likely is not None
    assert likely.most == pytest.approx(0.005)
    perfect = forecast(of([1.0] * FEWEST), 10)
    assert perfect is not None
    assert (perfect.better, perfect.median, perfect.most) == (0, 0, 0)


def test_which_trials_count() -> None:
    ended = [("complete", 0.5), ("complete", math.nan), ("stopped", 0.4), ("diverged", None), ("failed", 0.3)]
    assert tried([*ended, ("running", 0.9)], maximize=True, learns=False) == of([0.5], others=3)


@pytest.mark.parametrize("tail", ["normal", "exponential", "uniform"])
def test_a_better_trial_is_missed_no_more_often_than_stated(tail: str) -> None:
    rng = np.random.default_rng(0)
    planned, confidence, sweeps, missed, saved = 60, 0.8, 300, 0, 0
    for _ in range(sweeps):
        values = getattr(rng, tail)(size=planned) / 50
        within = 0.2 * float(values.std())
        for count in range(FEWEST, planned + 1):
            if is_enough(chance_of_more(of(list(values[:count])), planned - count, within), confidence):
                missed += values[count:].max(initial=-1) > values[:count].max() + within
                saved += planned - count
                break
    assert missed / sweeps <= 1 - confidence
    assert saved / sweeps / planned > 0.1


def test_the_upper_limit_for_ten_more_trials_is_exceeded_as_rarely_as_stated() -> None:
    rng, surpassed, above_median = np.random.default_rng(0), 0, 0
    for _ in range(1000):
        values = rng.exponential(size=42) / 100
        likely = forecast(of(list(values[:32])), 10)
        assert likely is not None
        gained = max(0.0, values[32:].max() - values[:32].max())
        surpassed += gained > likely.most
        above_median += gained > likely.median
    assert 0.07 <= surpassed / 1000 <= 0.13  # 10%, as these finals do fall off exponentially
    assert above_median / 1000 <= 0.5


@pytest.mark.parametrize(("planned", "learns"), [(20, False), (200, False), (64, True)])
def test_the_earliest_end_is_that_of_a_sweep_in_which_all_trials_are_equal(planned: int, learns: bool) -> None:
    ends = [
        n
        for n in range(FEWEST, planned)
        if is_enough(chance_of_more(of([0.5] * n, learns=learns), planned - n, 0.01), 0.9)
    ]
    assert earliest_end(planned, 0.9, learns=learns) == ends[0]


def test_a_short_sweep_cannot_end_early() -> None:
    assert earliest_end(FEWEST + 1, 0.95, learns=False) is None
