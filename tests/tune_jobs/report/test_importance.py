import math
import random
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from tests.tune_jobs.report.drawn import Sweep, words
from tests.tune_jobs.report.made import lam, noise, pool, summed, with_values
from tune_jobs.report.importance import FEWEST, importance_of
from tune_jobs.report.surrogate import Factor, share
from tune_jobs.results.row import Row

POOL = pool(120)


def some(trials: int, seed: int) -> list[Row]:
    return random.Random(seed).sample(POOL, trials)


def test_the_decisive_field_is_the_most_important(sweep: Sweep) -> None:
    for _ in range(60):
        sweep.trial([1 - abs(math.log10(sweep.next_lr()) + 3) / 3] * 3, "stopped")
    (bars,) = sweep.figures()["importance"]["data"]
    assert bars["y"][-1] == "lr"
    assert bars["x"][-1] > 0.5
    assert "differences in rank among 60 configurations" in words(sweep.page())


def test_a_field_that_makes_trials_diverge_is_important_too(sweep: Sweep) -> None:
    for number in range(60):
        if sweep.next_lr() > 1e-4:
            sweep.trial([0.1, math.nan], "diverged", "loss is nan in epoch 2", "diverged")
        else:
            sweep.trial([random.Random(number).random()] * 9, "complete")
    (bars,) = sweep.figures()["importance"]["data"]
    assert bars["y"][-1] == "lr"
    assert bars["x"][-1] > 0.5


@pytest.mark.parametrize("trials", [10, 25])
def test_noise_makes_a_field_important_on_at_most_one_page_in_twenty(trials: int) -> None:
    pages, rng = 80, np.random.default_rng(0)
    false = 0
    for seed in range(pages):
        found = importance_of(summed(with_values(some(trials, seed), lambda _: float(rng.normal(0.8, 0.02)))))
        assert found.shares
        false += any(share.low > 0 for share in found.shares.values())
        assert all(share.low <= share.value < share.high for share in found.shares.values())
    assert false <= stats.binom.ppf(0.99, pages, 0.05)


def test_an_interval_contains_the_true_share_of_a_field() -> None:
    """Oracle: groups of 20 at 0, 0 and 1 have variance 2/9, other groups 1/4, and the noise 1."""
    target, other = np.repeat([0, 1, 2], 20), np.tile([0, 1], 30)
    truth = (2 / 9) / (2 / 9 + 1 / 4 + 1)
    rng, times, held, middle = np.random.default_rng(0), 300, 0, []
    for _ in range(times):
        values = (target == 2) + 1.0 * other + rng.normal(size=60)
        found = share(values, Factor(target, None), [Factor(other, None)], 0.05)
        assert found is not None
        held += found.low <= truth <= found.high
        middle.append(found.value)
    assert held >= stats.binom.ppf(0.01, times, 0.95)
    assert abs(float(np.mean(middle)) - truth) < 0.02


def test_seeds_of_a_configuration_count_once() -> None:
    rows = with_values(some(12, 0), lambda row: noise(row.number)())
    again = [
        replace(row, run_key=f"{row.run_key}-{seed}", repeat_of=row.run_key, repeat=seed)
        for row in rows
        for seed in (1, 2)
    ]
    assert importance_of(summed([*rows, *again])).shares == importance_of(summed(rows)).shares


def test_if_all_values_are_equal_no_parameter_made_a_difference(sweep: Sweep) -> None:
    for _ in range(30):
        sweep.trial([0.1] * 9, "complete")
    assert "importance" not in sweep.figures()
    assert "All 30 trials have the same value, so no parameter made a difference." in words(sweep.page())


def test_few_trials_have_no_importance() -> None:
    rows = with_values(POOL, lambda row: -lam(row))
    few = importance_of(summed(rows[: FEWEST - 1]))
    assert few.shares == {}
    assert few.note.startswith("This needs 10 comparable trials, but there are 9")
    enough = importance_of(summed(rows[:FEWEST]))
    assert "each field by itself" in enough.note
    assert {*enough.shares} == {"lambda", "similarity", "lr"}
