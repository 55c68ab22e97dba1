"""Warnings about stopping rules that did worse than no stopping on recorded runs, and when there is no warning."""

import re

import pytest
import yaml

from benchmarks import warnings as made
from search_spaces import SweepSpec, load_sweep, parse_sweep
from search_spaces.settings import RULES, Stopping
from tune_jobs.planning.plan import plan
from tune_jobs.planning.stopping import full_trials, simulated, stopping_warnings

AS_IT_WAS = "{kind: asha, grace_epochs: 10, reduction_factor: 3}"


def vit(**changes: str) -> SweepSpec:
    """Return `vit-convnn` with its former stopping rule and these changes."""
    asked = {"stopping": AS_IT_WAS} | changes
    return load_sweep("vit-convnn", [f"{path.replace('__', '.')}={value}" for path, value in asked.items()])


def test_the_warning_about_halving_on_vit_has_numbers_and_a_better_setting() -> None:
    (said,) = stopping_warnings(vit())
    found = re.fullmatch(
        r"stopping: (?P<own>{.*?}) costs more than it saves on recorded runs of this model\. "
        r"On 86 published runs of vit_tiny on cifar10, at the cost of 16 full trials \(yours: 13\), "
        r"it ended (?P<own_regret>N) points below the best run, and no stopping ended (?P<never>N) below: "
        r"(?P<more>N) more \(95%: (?P<low>N) to (?P<high>N)\)\. "
        r"Better there: stopping: (?P<better>{.*?}) \((?P<better_regret>N)\)\. "
        r"This was simulated with {kind: asha, grace_epochs: 10, reduction_factor: 3} over 90 epochs \(yours: 90\), "
        r"on runs with a constant learning rate in random order\.".replace("N", r"\d+\.\d\d"),
        said,
    )
    assert found is not None, said
    assert found["own"] == AS_IT_WAS
    own, never, more, low, high, better = (
        float(found[name]) for name in ("own_regret", "never", "more", "low", "high", "better_regret")
    )
    assert own - never == pytest.approx(more, abs=0.011)
    assert 0 < low < more < high
    assert better < own
    assert not list(stopping_warnings(vit(stopping=found["better"])))


def test_the_suggested_setting_is_valid_in_a_sweep_file() -> None:
    for stopping in ("{kind: asha, grace_epochs: 1}", "{kind: hyperband, grace_epochs: 10}", "{kind: median}"):
        for said in stopping_warnings(vit(stopping=stopping)):
            better = yaml.safe_load(said.partition("Better there: stopping: ")[2].partition(" (")[0])
            settings = RULES.named(better["kind"])
            assert settings is not None
            assert isinstance(settings.model_validate(better), Stopping)


def test_plan_shows_the_warning() -> None:
    grid = """
name: few
space:
  data: {name: cifar100}
  model: {name: vit_tiny, attention: {kind: convnn, k: {choice: [2, 3, 4, 5, 6, 7, 8, 9]}, candidates: {kind: all}}}
  training: {epochs: 150, lr: {choice: [1.0e-4, 2.0e-4, 5.0e-4, 1.0e-3]}}
stopping: {kind: asha, grace_epochs: 10}
"""
    (said,) = stopping_warnings(parse_sweep(grid))
    assert "vit_tiny on cifar100" in said
    assert said in plan(parse_sweep(grid)).warnings


@pytest.mark.parametrize(
    "changes",
    [
        {"space__data__name": "digits"},
        {"space__data__name": "{choice: [cifar10, cifar100]}"},
        {"space__data__limit": "1000"},
        {"space__model__depth": "6"},
        {"space__training__optimizer": "sgd"},
        {"space__training__epochs": "40"},
        {"space__training__epochs": "{choice: [90, 150]}"},
        {"objective": "{metric: val/loss}"},
        {"stopping": "{kind: asha, grace_epochs: 10, reduction_factor: 20}"},
        {"stopping": "{kind: patience, patience_epochs: 10, min_delta: 0.01}"},
        {"stopping": "{kind: none}"},
        {"search__trials": "1"},
    ],
)
def test_there_is_no_warning_without_matching_recorded_runs(changes: dict[str, str]) -> None:
    assert not list(stopping_warnings(vit(**changes)))


def test_there_is_a_warning_exactly_if_the_difference_exceeds_its_error() -> None:
    for recorded in simulated():
        for each in recorded.results:
            near = recorded.near(each.stopping, recorded.epochs, each.budget)
            assert near == each
            assert each.over_never.low <= each.over_never.mean <= each.over_never.high
    (vit10,) = (each for each in simulated() if (each.model, each.data, each.epochs) == ("vit_tiny", "cifar10", 90))
    for stopping in {yaml.safe_dump(each.stopping, default_flow_style=True) for each in vit10.results}:
        spec = vit(stopping=stopping.strip())
        near = vit10.near(yaml.safe_load(stopping), 90, full_trials(spec))
        assert near is not None
        assert bool(list(stopping_warnings(spec))) == (near.over_never.low > 0)


def test_a_sweep_that_costs_more_is_compared_at_the_largest_budget() -> None:
    spec = vit(stopping="{kind: median}", search__trials="5000")
    assert full_trials(spec) == 5000
    assert all("at the cost of 32 full trials (yours: 5,000)" in said for said in stopping_warnings(spec))


@pytest.mark.parametrize(
    ("model", "data", "epochs", "rule"),
    [
        ("vit_tiny", "cifar10", 90, "none"),
        ("vit_tiny", "cifar10", 90, "asha:10/3"),
        ("vit_tiny", "cifar100", 150, "auto"),
        ("vit_tiny", "cifar100", 60, "median:1/5"),
        ("vgg11", "cifar10", 60, "asha:30/3"),
        ("vgg11", "cifar100", 90, "hyperband:10/3"),
        ("vgg11", "cifar10", 150, "patience:10"),
    ],
)
def test_the_packaged_numbers_match_a_new_simulation(model: str, data: str, epochs: int, rule: str) -> None:
    regrets = made.played(made.runs(model, data), rule, epochs, made.FIRST)
    assert made.first_of(model, data, epochs, rule) == {
        budget: pytest.approx(found, abs=6e-4) for budget, found in regrets.items()
    }


def test_the_packaged_numbers_are_complete() -> None:
    content = made.packaged()
    assert content["repeats"] >= 200
    tables = {(table["model"], table["data"], table["epochs"]): table for table in content["tables"]}
    assert set(tables) == {
        (model, data, epochs) for model in made.MODELS for data in made.DATA for epochs in made.EPOCHS
    }
    for table in tables.values():
        assert len(table["rules"]) == len(made.RULES)
        assert table["rules"][0]["stopping"] == {"kind": made.NEVER}
        assert [at["over_never"] for at in table["rules"][0]["at"]] == [[0, 0, 0]] * len(made.BUDGETS)
