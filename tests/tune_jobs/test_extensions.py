"""A sampler, a stopping rule and an executor that are registered from outside the packages."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

import optuna

from search_spaces import Space, SweepSpec, TrialConfig, parse_sweep
from search_spaces.settings import RULES, SAMPLERS, SamplerSettings, Stopping
from tests.tune_jobs.driver.scripted import Unseen, new_ledger
from tune_jobs.driver.trials import Sweep, run_trials
from tune_jobs.executors.base import Executor, Order
from tune_jobs.executors.inline import InlineExecutor
from tune_jobs.executors.registry import add_executor, executor_named
from tune_jobs.record.folder import SweepFolder
from tune_jobs.search.pruners.base import StoppingRule
from tune_jobs.search.registry import add_rule, add_sampler
from tune_jobs.search.samplers.base import Point, Sampler
from tune_jobs.system.signals import Signals
from tune_jobs.worker.reports import EpochDone, Report
from tune_jobs.worker.task import Task

FILE = """
name: extended
space:
  model: {layer: {kind: hybrid, lambda: {choice: [0.25, 0.5, 0.75, 1]}, k: {choice: [1, 2, 3, 4, 5, 6, 7, 8, 9]}}}
  training: {epochs: 9}
search: {sampler: downwards, step: 2}
stopping: {kind: threshold, below: 0.5}
"""


class Downwards(SamplerSettings):
    """Tries k from the largest down."""

    sampler: Literal["downwards"]
    step: int = 1


class Threshold(Stopping):
    """Stops trials below a value."""

    kind: Literal["threshold"]
    below: float


class DownwardsSampler(Sampler):
    goes_through_all = True

    def __init__(self, settings: Downwards, space: Space) -> None:
        points = sorted(space.points(), key=lambda point: -int(point["space.model.layer.k"] or 0))
        self._points = points[:: settings.step]

    def decide(self, number: int, seed: int) -> Point | None:
        del seed
        return self._points[number] if number < len(self._points) else None


class ThresholdRule(StoppingRule):
    def __init__(self, settings: Threshold, space: Space) -> None:
        del space
        self._below = settings.below

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        del study
        return trial.intermediate_values[trial.last_step or 0] < self._below


def k_of(config: TrialConfig) -> int:
    k: int = getattr(config.model.mixing_layer, "k", 0)
    return k


def objective(task: Task) -> Iterator[Report]:
    for epoch in range(1, task.config.training.epochs + 1):
        yield EpochDone(epoch, {"val/accuracy": k_of(task.config) / 10})


@contextlib.contextmanager
def opened(order: Order) -> Iterator[Executor]:
    assert order.sweep == "extended"
    yield InlineExecutor(objective, slots=3)


@contextlib.contextmanager
def extended() -> Iterator[SweepSpec]:
    add_sampler(Downwards, DownwardsSampler)
    add_rule(Threshold, ThresholdRule)
    add_executor("in-a-test", opened)
    try:
        yield parse_sweep(FILE)
    finally:
        SAMPLERS.unregister(Downwards)
        RULES.unregister(Threshold)


def test_a_sweep_runs_with_a_custom_sampler_rule_and_executor(tmp_path: Path) -> None:
    with extended() as spec, contextlib.closing(new_ledger(tmp_path / "ledger.db")) as ledger:
        sweep = Sweep(spec, SweepFolder(tmp_path), ledger, Unseen(), Signals())
        exhausted, halt = run_trials(sweep, executor_named("in-a-test"))
        assert halt is None, halt.message
        assert exhausted
        trials = [(k_of(trial.config), trial.state) for trial in ledger.trials()]
    assert [k for k, _ in trials] == [k for k in range(9, 0, -1) for _ in (1, 2)]
    assert all((state == "complete") == (k >= 5) for k, state in trials)
    assert {state for _, state in trials} == {"complete", "stopped"}
