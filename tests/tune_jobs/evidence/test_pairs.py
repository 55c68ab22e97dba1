"""Comparison of sweeps: what they share, what differs, and by how much."""

import pytest
from scipy import stats

from tests.tune_jobs.evidence.made import configs, sweep, trial, with_training
from tune_jobs.errors import UsageError
from tune_jobs.evidence.pairs import beside
from tune_jobs.evidence.trials import OurSweep
from tune_jobs.results.recorded.matching import Runs
from tune_jobs.results.recorded.published import published

SHIFTS = (0.01, 0.02, 0.015, 0.0)


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs(published())


@pytest.fixture(scope="module")
def pair(runs: Runs) -> list[OurSweep]:
    """A sweep of four configurations with two seeds each, and a slightly better one that shares three of them."""
    every = configs("table1-cifar10")
    first = [with_training(config, seed=seed) for config in every[:4] for seed in (1, 2)]
    second = [with_training(config, seed=9) for config in every[1:5]]
    return [
        sweep([trial(runs, n, config, 150, shift=n % 2 / 100) for n, config in enumerate(first)], name="a"),
        sweep([trial(runs, n, c, 150, shift=s) for n, (c, s) in enumerate(zip(second, SHIFTS, strict=True))], name="b"),
    ]


def test_shared_configurations_are_paired_over_the_means_of_their_seeds(pair: list[OurSweep]) -> None:
    (found,) = beside(pair).pairs
    expected = [shift - 0.005 for shift in SHIFTS[:3]]
    assert [row.difference for row in found.rows] == pytest.approx(expected)
    assert [(row.first.n, row.second.n) for row in found.rows] == [(2, 1)] * 3
    test = stats.ttest_1samp(expected, 0)
    interval = test.confidence_interval(0.95)
    assert found.paired is not None
    assert (found.paired.n, found.paired.method) == (3, "paired t")
    assert (found.paired.mean, found.paired.low, found.paired.high, found.paired.p) == pytest.approx(
        (sum(expected) / 3, interval.low, interval.high, test.pvalue)
    )
    assert [each.trials for each in found.only_first] == [[0, 1]]
    assert [each.trials for each in found.only_second] == [[3]]


def test_a_stopped_trial_is_compared_at_its_epoch(runs: Runs) -> None:
    config = configs("table1-cifar10")[0]
    two = [sweep([trial(runs, 1, config, epochs, "interrupted")]) for epochs in (30, 12)]
    (row,) = beside(two).pairs[0].rows
    assert (row.epoch, row.difference) == (12, 0)
    assert beside(two).pairs[0].paired is None  # one configuration has no spread


def test_each_sweep_is_compared_with_the_first(pair: list[OurSweep]) -> None:
    assert [(each.first, each.second) for each in beside([*pair, pair[1]]).pairs] == [("a", "b"), ("a", "b")]


def test_another_precision_is_the_same_configuration_but_noted(runs: Runs) -> None:
    every = configs("table2-cifar10")
    plain = sweep([trial(runs, n, config, 150) for n, config in enumerate(every)], name="fp32")
    fast = [trial(runs, n, with_training(config, precision="bf16"), 150) for n, config in enumerate(every)]
    (found,) = beside([plain, sweep(fast, name="bf16")]).pairs
    assert len(found.rows) == len(every)
    assert found.differs == {"training.precision": (["fp32"], ["bf16"])}
    assert found.notes == ["computed differently: training.precision"]
    both = sweep([*plain.trials, *fast], name="both")  # if a sweep varies it, it distinguishes configurations
    assert [row.second.n for row in beside([plain, both]).pairs[0].rows] == [1] * len(every)


def test_other_protocols_are_refused_and_other_settings_are_noted(pair: list[OurSweep]) -> None:
    first, second = pair
    with pytest.raises(UsageError, match="they tested on different images"):
        beside([first, OurSweep("h", "holdout", "protocol holdout", "val/accuracy", second.trials)])
    other = OurSweep("c", "paper", "protocol paper, seed 1", "test/loss", second.trials)
    assert beside([first, other]).pairs[0].notes == [
        "evaluated differently: protocol paper and protocol paper, seed 1",
        "c was searched by test/loss, but test/accuracy is compared",
    ]
    with pytest.raises(
        UsageError, match=r"must be one that the sweep has recorded \(test/accuracy, test/loss\), got val/accuracy"
    ):
        beside(pair, "val/accuracy")
