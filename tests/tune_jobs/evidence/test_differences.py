"""Verdicts on the published repeats: equal configurations are rarely called different, and three points are found."""

import copy
from collections.abc import Iterator

import numpy as np
import pytest
from scipy import stats

from search_spaces import Decided, load_sweep
from tune_jobs.evidence.differences import (
    Difference,
    Noise,
    Verdict,
    batch_mean_sd,
    difference,
    pooled_noise,
    sample,
    verdicts,
)
from tune_jobs.results.recorded.matching import Runs, same_training
from tune_jobs.results.recorded.published import published

METRIC = "test/accuracy"


@pytest.fixture(scope="module")
def runs() -> Runs:
    return Runs(published())


def repeated(runs: Runs, ours: int, epoch: int, shift: float = 0.0) -> Iterator[Difference]:
    """For every configuration with repeats, take `ours` of them as ours and the rest as theirs.

    The noise is estimated from theirs alone.

    Every repeat is once the first of those taken as ours.
    """
    curve, lengths = runs.table.curves[METRIC], runs.table.lengths
    for key, numbers in runs.by_key.items():
        long = [number for number in numbers if lengths[number] >= epoch] or numbers
        if len(long) <= ours:
            continue
        at = min(epoch, int(lengths[long].min()))
        config = runs.table.runs[long[0]].config
        assert config is not None
        for first in range(len(long)):
            mine = [long[(first + more) % len(long)] for more in range(ours)]
            rest = copy.copy(runs)
            rest.by_key = {**runs.by_key, key: [number for number in numbers if number not in mine]}
            theirs = sample(curve[[number for number in long if number not in mine], at - 1])
            noise = pooled_noise(rest, config, curve, at)
            assert noise is not None
            yield difference(sample(curve[mine, at - 1] + shift), theirs, noise, batch_mean_sd(theirs.mean))


@pytest.mark.parametrize("epoch", [20, 150])
def test_the_authors_repeats_are_called_different_in_at_most_one_of_twenty_cases(runs: Runs, epoch: int) -> None:
    found = list(repeated(runs, 1, epoch))
    assert len(found) > 500
    assert {one.method for one in found} == {"pooled t"}
    judged = verdicts(found, [0.01] * len(found))
    assert np.mean([verdict == "different" for _, verdict in judged]) <= 0.05
    alone = np.mean([one.p <= 0.05 for one in found])  # a sweep with one row needs no adjustment for others
    assert 0.03 < alone <= 0.06


@pytest.mark.parametrize("sign", [1, -1])
def test_three_runs_find_a_shift_of_three_points_if_they_can_resolve_it(runs: Runs, sign: int) -> None:
    found = [one for one in repeated(runs, 3, 150, sign * 0.03) if one.resolves <= 0.03]
    assert len(found) > 50
    judged = verdicts(found, [0.01] * len(found))
    assert np.mean([verdict == "different" for _, verdict in judged]) >= 0.9


@pytest.mark.parametrize(("data", "sd"), [("cifar10", 0.0062), ("cifar100", 0.0058)])
def test_the_noise_of_the_convolution_comes_from_its_seven_repeats(runs: Runs, data: str, sd: float) -> None:
    config = load_sweep(f"table1-{data}", ["space.model.layer={kind: conv2d}"]).space.resolve(Decided({}))
    alone = copy.copy(runs)
    alone.by_key = {"": runs.by_key[same_training(config)]}
    found = pooled_noise(alone, config, runs.table.curves[METRIC], 150)
    assert found is not None
    assert found.sd == pytest.approx(sd, abs=5e-5)
    assert found.df == 6


def test_the_error_of_a_mean_of_batch_means_is_the_spread_of_its_last_images() -> None:
    rng, accuracy = np.random.default_rng(0), 0.8
    right = rng.random((1000, 10_000)) < accuracy
    batches = np.concatenate([right[:, :9984].reshape(1000, 39, 256).mean(2), right[:, 9984:].mean(1)[:, None]], axis=1)
    error = batches.mean(1) - right.mean(1)
    assert batch_mean_sd(accuracy) == pytest.approx(error.std(), rel=0.08)
    assert batch_mean_sd(accuracy) == pytest.approx(0.0023, abs=1e-4)


def test_with_noise_from_theirs_alone_the_test_is_students_t() -> None:
    ours, theirs = [0.81, 0.803, 0.806], [0.79, 0.801, 0.80, 0.797]
    spread = float(np.std(theirs, ddof=1))
    found = difference(sample(ours), sample(theirs), Noise(spread, len(theirs) - 1, ""), 0.0)
    expected = stats.ttest_ind(ours, theirs)
    interval = expected.confidence_interval(0.95)
    assert found.method == "pooled t"
    assert [found.p, found.low, found.high] == pytest.approx([expected.pvalue, interval.low, interval.high])


def test_our_runs_are_judged_by_their_own_spread_if_they_scatter_far_more() -> None:
    ours, theirs = [0.70, 0.85, 0.92, 0.64, 0.79], [0.79, 0.801, 0.80, 0.797, 0.795, 0.798]
    found = difference(sample(ours), sample(theirs), Noise(float(np.std(theirs, ddof=1)), 5, ""), 0.0)
    expected = stats.ttest_ind(ours, theirs, equal_var=False)
    assert found.method == "Welch t"
    assert found.p == pytest.approx(expected.pvalue)


def test_a_batch_mean_makes_the_interval_wider_but_does_not_change_the_noise() -> None:
    one = difference(sample([0.8]), sample([0.79]), Noise(0.006, 10, ""), 0.0)
    other = difference(sample([0.8]), sample([0.79]), Noise(0.006, 10, ""), 0.0023)
    assert other.high - other.low > one.high - one.low
    assert other.df > one.df
    assert other.p > one.p


@pytest.mark.parametrize("df", [3.0, 160.0])
def test_a_resolvable_difference_is_found_in_nine_of_ten_cases(df: float) -> None:
    rng, sd, draws = np.random.default_rng(1), 0.006, 600
    known = difference(sample([0.8]), sample([0.8]), Noise(sd, int(df), ""), 0.0)
    spreads = sd * np.sqrt(rng.chisquare(df, draws) / df)
    pairs = rng.normal([known.resolves, 0.0], sd, (draws, 2))
    found = [
        difference(sample([mine]), sample([theirs]), Noise(float(spread), int(df), ""), 0.0).p <= 0.05
        for (mine, theirs), spread in zip(pairs, spreads, strict=True)
    ]
    assert np.mean(found) == pytest.approx(0.9, abs=0.04)


def judged(ours: list[float], margin: float = 0.01) -> list[Verdict]:
    noise = Noise(0.006, 150, "")
    rows = [difference(sample([value] * 3), sample([0.8]), noise, 0.0023) for value in ours]
    return [verdict for _, verdict in verdicts(rows, [margin] * len(rows))]


def test_a_difference_that_few_runs_cannot_show_is_not_called_noise() -> None:
    assert judged([0.801]) == ["not resolvable"]
    assert judged([0.801], margin=0.03) == ["within noise"]
    assert judged([0.84]) == ["different"]
    assert judged([]) == []


def test_one_of_many_rows_needs_a_larger_difference_to_be_called_different() -> None:
    assert judged([0.816]) == ["different"]
    assert judged([0.816, *[0.8] * 19])[0] != "different"
    assert judged([0.84, *[0.8] * 19])[0] == "different"
