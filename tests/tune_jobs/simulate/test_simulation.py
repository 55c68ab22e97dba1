"""Results of rules: on the published runs compared with separate code, and on a small table by arithmetic."""

import pytest

from tests.tune_jobs.simulate.playing import EPOCHS, spec, table
from tune_jobs.errors import UsageError
from tune_jobs.results.recorded.published import published
from tune_jobs.simulate.outcome import Simulation
from tune_jobs.simulate.regret import mean_of
from tune_jobs.simulate.simulation import Setting, budgets_of, simulate

VIT = {"none": (1.6914, 0.9375, 0.6177), "asha:10/3": (3.6177, 2.7403, 2.3311)}
"""Regret at 8, 16 and 32 full trials on the 86 runs of ViT-Tiny on CIFAR-100, by a separate search (no Optuna, no
driver): the first 100 epochs, four workers, and the same 20 orders as here."""


def regrets(found: Simulation, rule: str) -> list[float]:
    return [result.regret.mean for result in found.results if result.rule == rule]


def test_the_published_runs_give_the_same_regrets_as_separate_code() -> None:
    runs = published().where(["model.name=vit_tiny", "data.name=cifar100"])
    found = simulate(runs, None, Setting(repeats=20, epochs=100, rules=",".join(VIT)))
    assert len(found.table.runs) == 86
    for rule, expected in VIT.items():
        assert regrets(found, rule) == pytest.approx(expected, abs=1e-3)  # the same orders


def test_a_repeated_simulation_gives_the_same_results() -> None:
    setting = Setting(repeats=2, budgets=(2.0, 4.0))
    first, second = (simulate(table(), None, setting) for _ in range(2))
    assert first.results == second.results
    assert [(result.rule, result.budget) for result in first.results] == [
        (rule, budget) for rule in ("none", "asha:1/3", "best:1/4") for budget in (2.0, 4.0)
    ]


def test_the_cost_is_the_budget_and_without_stopping_it_is_full_trials() -> None:
    found = simulate(table(), None, Setting(repeats=3, budgets=(4.0, 1000.0), rules="none", workers=2))
    some, whole = found.results
    assert (some.cost.mean, some.complete, some.started) == (4, 4, 5)  # one has just started
    assert (whole.cost.mean, whole.complete, whole.started) == (42, 42, 42)
    assert (whole.regret.mean, whole.regret.low, whole.regret.high) == (0, 0, 0)  # every run was trained
    assert found.best == table().curves["test/accuracy"][:, -1].max()
    assert some.regret.mean > 0


def test_a_sweep_file_is_simulated_with_its_sampler_rule_and_limits() -> None:
    found = simulate(table(), spec(), Setting(repeats=2, budgets=(4.0, 8.0)))
    assert list(dict.fromkeys(result.rule for result in found.results)) == ["file", "none", "asha:1/3", "best:1/4"]
    assert found.notes == ["the recorded test/accuracy is used for val/accuracy"]
    assert found.coverage is not None
    assert (found.coverage.looked_at, found.coverage.with_run) == (48, 42)
    assert found.coverage.without == {"model.layer.k 4": 6}
    assert (found.epochs, found.workers) == (EPOCHS, 3)


def test_the_cost_can_be_in_seconds() -> None:
    found = simulate(table(), spec(), Setting(repeats=2, budgets=(4.0,), rules="none", cost="seconds"))
    assert found.results[0].cost.mean == pytest.approx(4, abs=0.01)
    with pytest.raises(UsageError, match="small has none; use --cost epochs"):
        simulate(table(seconds=False), spec(), Setting(cost="seconds"))


def test_a_range_uses_the_nearest_recorded_values() -> None:
    ranged = spec(space__training__lr="{log_uniform: [1.0e-4, 1.0e-2]}", space__model__layer__k="{int: [2, 6]}")
    found = simulate(table(), ranged, Setting(repeats=1, budgets=(2.0,), rules="none"))
    assert found.coverage is not None
    assert found.coverage.nearest == {
        "space.model.layer.k": (2, 3, 5, 6),
        "space.training.lr": (0.0001, 0.001),
    }
    assert found.coverage.without == {}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"space__training__epochs": "20"}, r"training.epochs 20, and the run has 9 \(42\)"),
        ({"space__training__optimizer": "sgd"}, r"training.optimizer sgd \(42\)"),
        (
            {"space__training__lr": "{log_uniform: [1.0e-2, 1.0e-1]}"},
            "no run has a value there; recorded are: 0.0001, 0.001",
        ),
        ({"search__repeats": "3"}, "search.repeats must be 1 to be simulated, got 3: .* add --set search.repeats=1"),
        ({"objective__metric": "val/loss"}, "small has no metric 'val/loss'; it has: test/accuracy"),
    ],
)
def test_a_sweep_without_recorded_runs_is_refused_with_the_missing_fields(
    changes: dict[str, str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        simulate(table(), spec(**changes), Setting())


def test_data_sets_are_not_mixed() -> None:
    with pytest.raises(
        UsageError, match=r"cifar10, cifar100, which cannot be compared; choose with --where data\.name=cifar10"
    ):
        simulate(published(), None, Setting())


def test_budgets_are_numbers_above_0() -> None:
    assert budgets_of("16, 8,8") == (8, 16)
    for wrong in ("", "8,x", "0", "-1", "nan"):
        with pytest.raises(UsageError, match="--budgets must be numbers of full trials above 0"):
            budgets_of(wrong)


def test_an_interval_holds_the_mean_and_shrinks_with_repeats() -> None:
    few, many = mean_of([0.0, 1.0] * 5), mean_of([0.0, 1.0] * 500)
    for found in (few, many):
        assert found.mean == 0.5
        assert found.low is not None
        assert found.high is not None
        assert found.low < 0.5 < found.high
    assert (few.high or 0) - (few.low or 0) == pytest.approx(2 * 1.96 * 0.5 / 10**0.5, rel=0.15)  # normal theory
    assert (many.high or 0) - (many.low or 0) < 0.07
    assert mean_of([2.0]).low is None
