import math
import random
from typing import Literal

import optuna
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from optuna.pruners import BasePruner, HyperbandPruner, SuccessiveHalvingPruner

from search_spaces.settings import Asha, Hyperband, Stopping
from tests.tune_jobs.search.pruners.judged import SPACE
from tune_jobs.search.registry import rule_of

MOST = 27
"""Epochs of a trial in `SPACE`."""


def settings_and_oracle(kind: str, first: int, factor: int) -> tuple[Stopping, BasePruner]:
    if kind == "asha":
        settings = Asha(kind="asha", grace_epochs=first, reduction_factor=factor)
        return settings, SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor)
    brackets = Hyperband(kind="hyperband", grace_epochs=first, reduction_factor=factor)
    return brackets, HyperbandPruner(min_resource=first, max_resource=MOST, reduction_factor=factor)


@pytest.mark.parametrize("kind", ["asha", "hyperband"])
@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 10**6),
    direction=st.sampled_from(["maximize", "minimize"]),
    first=st.sampled_from([1, 2, 30]),
    factor=st.sampled_from([2, 3]),
)
def test_a_trial_is_stopped_when_optunas_pruner_stops_it(  # oracle: Optuna's pruners
    kind: str,
    seed: int,
    direction: Literal["maximize", "minimize"],
    first: int,
    factor: int,
) -> None:
    chosen, oracle = settings_and_oracle(kind, first, factor)
    rule, study = rule_of(chosen, SPACE), optuna.create_study(study_name="seed 0", direction=direction)
    running = [study.ask() for _ in range(4)]
    rng = random.Random(seed)
    for _ in range(200):
        place, value = rng.randrange(len(running)), rng.choice([rng.random(), rng.choice([0.5, math.nan])])
        epoch = len(study.get_trials(deepcopy=False)[running[place].number].intermediate_values) + 1
        running[place].report(value, epoch)
        reported = study.get_trials(deepcopy=False)[running[place].number]
        stops = rule.stops(study, reported)
        assert stops == oracle.prune(study, reported)
        if stops or epoch == MOST:
            running[place] = study.ask()


def test_a_rung_decision_does_not_scan_earlier_trials() -> None:
    rule = rule_of(Asha(kind="asha"), SPACE)

    class Unlisted(optuna.Study):
        def get_trials(self, *_: object, **__: object) -> list[optuna.trial.FrozenTrial]:
            raise AssertionError("the rule scans all trials")

    study = optuna.create_study(direction="maximize")
    unlisted = Unlisted(study.study_name, study._storage)
    for number in range(10):
        trial = study.ask()
        trial.report(number, 1)
        assert not rule.stops(unlisted, study.get_trials(deepcopy=False)[-1])
