from dataclasses import replace

import pytest
from scipy import stats

from search_spaces import load_sweep
from tune_jobs.errors import UsageError
from tune_jobs.evidence.resolve import CANDIDATES, resolution
from tune_jobs.evidence.verdicts import Design
from tune_jobs.planning.plan import plan

SPEC = load_sweep("table1-cifar10", ())


def test_the_number_of_seeds_is_the_smallest_with_the_stated_power() -> None:
    found = resolution(SPEC, plan(SPEC, throughput=5000), 1.0)
    level = Design(CANDIDATES, 0.0).levels[-1]

    def power(seeds: int) -> float:
        df = 2 * (seeds - 1)
        return float(stats.nct.sf(stats.t.isf(level / 2, df), df, 0.01 / (found.sd * (2 / seeds) ** 0.5)))

    assert power(found.seeds) >= 0.8 > power(found.seeds - 1)
    assert found.trials == 6 * found.seeds
    assert found.wall_hours is not None
    assert 0.003 < found.sd < 0.012
    assert found.resolved_by_most == pytest.approx(0.01, rel=0.4)


def test_half_the_difference_takes_four_times_the_seeds_and_hours() -> None:
    costs = plan(SPEC, throughput=5000)
    coarse, fine = (resolution(SPEC, costs, difference) for difference in (1.0, 0.5))
    assert fine.seeds == pytest.approx(4 * coarse.seeds, rel=0.2)
    assert fine.wall_hours == pytest.approx((coarse.wall_hours or 0) * fine.seeds / coarse.seeds)


def test_noise_that_was_not_measured_is_not_invented() -> None:
    costs = plan(SPEC, throughput=5000)
    with pytest.raises(UsageError, match="none were published of this model and data set"):
        resolution(load_sweep("table1-cifar10", ["space.data.name=digits"]), costs, 1.0)
    with pytest.raises(UsageError, match=r"--resolve must be above 0, got -1\."):
        resolution(SPEC, costs, -1.0)


def test_a_difference_of_losses_is_in_the_losses_unit() -> None:
    found = resolution(replace(SPEC, metric="test/loss"), plan(SPEC, throughput=5000), 0.1)
    assert (found.difference, found.metric) == (0.1, "test/loss")
