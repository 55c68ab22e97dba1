from itertools import pairwise

import pytest
from scipy import stats

from tune_jobs.evidence.spending import SpendingFunction, kim_demets, nominal_levels, obrien_fleming, pocock

FIVE = (0.2, 0.4, 0.6, 0.8, 1.0)


@pytest.mark.parametrize(
    ("spending", "published"),
    [  # DeMets and Lan, Interim analysis: the alpha spending function approach (1994), five looks, two-sided 0.05
        (obrien_fleming, (4.8769, 3.3569, 2.6803, 2.2898, 2.0310)),
        (pocock, (2.4380, 2.4268, 2.4101, 2.3966, 2.3859)),
    ],
)
def test_the_boundaries_match_the_published_ones(spending: SpendingFunction, published: tuple[float, ...]) -> None:
    bounds = stats.norm.isf([level / 2 for level in nominal_levels(FIVE, 0.05, spending)])
    assert bounds == pytest.approx(published, abs=2e-4)


def test_one_look_has_the_whole_error() -> None:
    assert nominal_levels((1.0,), 0.05, kim_demets(2)) == pytest.approx((0.05,))


def test_levels_increase_from_look_to_look_and_stay_within_the_error() -> None:
    levels = nominal_levels((0.125, 0.25, 0.5, 1.0), 0.01, kim_demets(2))
    assert all(earlier < later for earlier, later in pairwise(levels))
    assert levels[-1] < 0.01 < sum(levels)


@pytest.mark.parametrize("fractions", [(), (0.5,), (0.0, 1.0), (0.5, 0.5, 1.0), (0.5, 1.5)])
def test_fractions_ascend_to_one(fractions: tuple[float, ...]) -> None:
    with pytest.raises(ValueError, match="must ascend from above 0 to 1, got"):
        nominal_levels(fractions, 0.05, pocock)
