import numpy as np
import pytest
from scipy import stats

from tune_jobs.evidence.verdicts import LOOKS, Design, decided, judge, seeds_to_resolve

SD = 0.6


def confirmed(effects: list[float], families: int, margin: float = 1e-9) -> tuple[np.ndarray, np.ndarray]:
    """Simulate many confirmations with these true differences, in sd; return which were real, and their runs."""
    draws = np.random.default_rng(3).standard_normal((families, len(effects) + 1, LOOKS[-1]))
    draws[:, 1:] += np.array(effects)[:, None]
    design = Design(len(effects), margin)
    under_way = np.ones((families, len(effects)), bool)
    real, runs = np.zeros_like(under_way), np.zeros(under_way.shape)
    for look, count in enumerate(LOOKS):
        runs[under_way] = count
        found, ends = decided(design, look, draws[:, 1:, :count], draws[:, :1, :count])
        real |= under_way & found
        under_way &= ~ends
    assert not under_way.any()
    return real, runs


def test_equal_configurations_are_called_different_in_at_most_one_of_twenty_families_and_need_few_seeds() -> None:
    real, runs = confirmed([0.0] * 5, 3000)
    wrong = int(real.any(axis=1).sum())
    assert stats.binomtest(wrong, 3000, 0.05, alternative="greater").pvalue > 0.01
    assert runs.mean() < 0.65 * LOOKS[-1]


def test_looking_early_costs_at_most_ten_points_of_power() -> None:
    for effect in (0.5, 1.0, 2.0):
        fixed_power = 1 - stats.nct.cdf(stats.t.isf(0.05 / 10, 30), 30, effect * np.sqrt(LOOKS[-1] / 2))
        assert confirmed([effect] * 5, 1000)[0].mean() > fixed_power - 0.10


def test_judging_one_at_a_time_or_many_together_gives_the_same_verdicts() -> None:
    draws = np.random.default_rng(1).standard_normal((50, 2, 8)) * SD
    draws[:, 0] += np.linspace(0, 3, 50)[:, None]
    design = Design(3, 0.1)
    found, _ = decided(design, 2, draws[:, 0], draws[:, 1])
    verdicts = [judge(design, ours, base).verdict == "real" for ours, base in draws]
    assert verdicts == found.tolist()
    assert any(verdicts)
    assert not all(verdicts)


def test_real_means_an_interval_without_zero_and_equal_means_an_interval_within_the_margin() -> None:
    baseline = np.linspace(-1, 1, 16) * 0.1
    apart = judge(Design(1, 0.5), baseline + 2, baseline)
    assert apart.verdict == "real"
    assert apart.low > 0
    assert apart.mean == pytest.approx(2)
    close = judge(Design(1, 0.5), baseline[::-1] + 0.01, baseline)
    assert close.verdict == "equal"
    assert -0.5 < close.low < 0 < close.high < 0.5
    unclear = judge(Design(1, 0.01), baseline[::-1] + 0.01, baseline)
    assert unclear.verdict == "not resolved"
    assert unclear.seeds_more is not None
    assert unclear.seeds_more > 50


def test_the_number_of_seeds_matches_a_power_analysis() -> None:
    # Cohen (1988), table 2.4.1: two-sided 0.05, power 0.80: d 0.5 needs 64 a group, d 0.8 needs 26
    assert seeds_to_resolve(0.5, 1.0, 0.05) == 64
    assert seeds_to_resolve(0.8, 1.0, 0.05) == 26
    assert seeds_to_resolve(50.0, 1.0, 0.05) == 2


def test_only_planned_looks_are_allowed() -> None:
    with pytest.raises(ValueError, match="one of \\[2, 4, 8, 16\\]; got 3 and 3"):
        judge(Design(1, 0.5), np.zeros(3), np.zeros(3))
