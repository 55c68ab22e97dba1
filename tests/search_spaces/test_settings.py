from dataclasses import fields

import pytest

from search_spaces import parse_sweep
from search_spaces.settings import HOURS, Budget, Grid, NoStopping
from tune_jobs.record.rows import Usage

TEXT = """
name: small
space:
  data: {name: digits, root: ~/data}
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5]}, k: {choice: [4, 9]}}}
  training: {epochs: 9}
"""


def test_missing_settings_have_defaults() -> None:
    spec = parse_sweep(TEXT)
    assert (spec.search, spec.stopping) == (Grid(), NoStopping())
    assert (spec.metric, spec.goal) == ("val/accuracy", "maximize")
    assert spec.text == TEXT


def test_a_budget_has_no_limit_unless_one_is_given() -> None:
    assert parse_sweep(TEXT).budget == Budget(gpu_hours=None, cpu_hours=None, wall_hours=None, trials=None)
    spec = parse_sweep(TEXT + "budget: {cpu_hours: 24, wall_hours: 0.5, trials: 9}")
    assert spec.budget == Budget(cpu_hours=24, wall_hours=0.5, trials=9)
    on_gpu = parse_sweep(TEXT + "resources: {gpus_per_trial: 1}\nbudget: {gpu_hours: 1.5, cpu_hours: null}")
    assert on_gpu.budget == Budget(gpu_hours=1.5)


@pytest.mark.parametrize(
    "stopping",
    [
        "{}",
        "{kind: none}",
        "{kind: asha}",
        "{kind: hyperband}",
        "{kind: median}",
        "{kind: patience, patience_epochs: 1}",
    ],
)
def test_every_stopping_rule_ends_a_sweep_that_mostly_fails(stopping: str) -> None:
    spec = parse_sweep(TEXT + f"stopping: {stopping}")
    assert spec.stopping.max_failed_fraction == 0.5
    never = parse_sweep(spec.text, overrides=["stopping.max_failed_fraction=1"])
    assert (never.stopping.kind, never.stopping.max_failed_fraction) == (spec.stopping.kind, 1.0)


def test_every_budget_has_a_unit_and_is_counted() -> None:
    assert list(Budget.model_fields) == [*HOURS, "trials"] == [field.name for field in fields(Usage)]
