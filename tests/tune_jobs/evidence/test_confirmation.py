import json
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import TrialConfig
from tune_jobs.evidence.confirmation import Arm, Plan, Standing, plan_from, standing

Train = Callable[[TrialConfig], float]


def arm(k: int) -> Arm:
    layer = {"kind": "convnn", "k": k}
    return Arm(TrialConfig.model_validate({"model": {"name": "vgg11", "layer": layer}}), k, 0.9)


PLAN = Plan((arm(4), arm(5), arm(6)), arm(9), "the runner-up", 100, 0.005, "test/accuracy", "maximize")


def accuracy(config: TrialConfig) -> float:
    """Return an accuracy: k 4 is far better than 9, and 5 and 6 equal 9; the noise depends on seed and k."""
    k, seed = config.model.mixing_layer.k, config.training.seed  # type: ignore[attr-defined]
    noise: float = ((seed * 7919 + k * 104729) % 1000) / 1000 - 0.5
    return (0.9 if k == 4 else 0.8) + 0.01 * noise


def carried_out(plan: Plan, train: Train, at_most: int = 10_000) -> tuple[Standing, list[str]]:
    """Carry out a confirmation, one run after another; return its status and the order of its runs."""
    finals: dict[str, float] = {}
    while (now := standing(plan, finals)).due and len(finals) < at_most:
        key, config = now.due[0]
        finals[key] = train(config)
    return now, list(finals)


def test_undecided_configurations_get_twice_the_runs_and_the_better_one_is_found() -> None:
    end, ran = carried_out(PLAN, accuracy)
    verdicts = [each.difference.verdict for each in end.candidates if each.difference]
    assert verdicts[0] == "real"
    assert "real" not in verdicts[1:]
    counts = [len(each.values) for each in (end.baseline, *end.candidates)]
    assert counts[0] == max(counts[1:])
    assert set(counts) <= {2, 4, 8, 16}
    assert counts[1] < 16
    assert sum(counts) == len(ran) == len(set(ran))
    assert end.best is end.candidates[0]


def test_once_everything_is_decided_the_baseline_gets_no_further_runs() -> None:
    wide = Plan(**{**vars(PLAN), "margin": 1.0})
    end, _ = carried_out(wide, accuracy)
    assert {len(each.values) for each in (end.baseline, *end.candidates)} == {4}
    lost = [next(wide.runs(arm, 1))[0] for arm in wide.candidates]
    assert standing(wide, {}, lost).over


def test_if_lower_is_better_the_lowest_one_is_best() -> None:
    lower = Plan(**{**vars(PLAN), "metric": "test/loss", "goal": "minimize"})
    end, _ = carried_out(lower, lambda config: 1 - accuracy(config))
    assert end.best is end.candidates[0]


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 40), st.randoms())
def test_a_confirmation_resumes_from_its_record_alone_in_any_order_of_runs(begun: int, order: object) -> None:
    whole, ran = carried_out(PLAN, accuracy)
    finals: dict[str, float] = {}
    while due := standing(PLAN, finals).due:
        key, config = order.choice(due) if len(finals) >= begun else due[0]  # type: ignore[attr-defined]
        finals[key] = accuracy(config)
    assert set(finals) == set(ran)
    assert standing(PLAN, finals) == whole


def test_an_arm_that_diverges_is_dropped_and_the_others_are_judged() -> None:
    (key, _), *_ = PLAN.runs(PLAN.candidates[1], 1)
    finals: dict[str, float] = {}
    while due := standing(PLAN, finals, {key}).due:
        finals[due[0][0]] = accuracy(due[0][1])
    end = standing(PLAN, finals, {key})
    assert [each.state for each in end.candidates] == ["decided", "lost", "decided"]
    assert end.best is end.candidates[0]


def test_without_a_baseline_nothing_is_judged_and_no_more_runs_start() -> None:
    (key, _), *_ = PLAN.runs(PLAN.baseline, 1)
    end = standing(PLAN, {}, {key})
    assert end.over
    assert end.baseline.state == "lost"
    assert end.best is None


def test_a_recorded_plan_is_read_back() -> None:
    assert plan_from(json.loads(json.dumps(PLAN.as_dict()))) == PLAN
    with pytest.raises(ValueError, match="not a recorded confirmation"):
        plan_from({"candidates": []})
