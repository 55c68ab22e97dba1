import pytest

from search_spaces.settings import Hyperband
from tests.tune_jobs.planning.planned import spec
from tests.tune_jobs.search.pruners.judged import Judged
from tune_jobs.planning.ladder import ladder_of, trial_epochs_of
from tune_jobs.planning.plan import plan


def test_a_ladder_keeps_a_share_at_each_rung_and_its_epochs_add_up() -> None:
    found = plan(spec("stopping: {kind: asha, grace_epochs: 3, reduction_factor: 3}\nsearch: {sampler: grid}"))
    assert [(rung.epoch, rung.survivors) for rung in found.ladder] == [(3, 5), (9, 2)]
    assert found.trial_epochs == 13 * 3 + 5 * (9 - 3) + 2 * (27 - 9)
    assert plan(spec()).trial_epochs == 13 * 27


HYPERBAND = "stopping: {kind: hyperband, grace_epochs: 3, reduction_factor: 3}"


def test_each_of_hyperbands_brackets_keeps_its_share_at_each_of_its_rungs() -> None:
    found = plan(spec(HYPERBAND))  # 9 of 17 trials are judged after epochs 3 and 9, 5 after 9, and 3 never
    assert [(rung.epoch, rung.survivors) for rung in found.ladder] == [(3, 9), (9, 5)]
    assert found.trial_epochs == 13 * 3 + 9 * (9 - 3) + 5 * (27 - 9)


def test_hyperband_takes_about_as_many_epochs_as_planned() -> None:
    many = 100
    judged = Judged(Hyperband(kind="hyperband", grace_epochs=3, reduction_factor=3))
    values = [(7919 * number % many) / many for number in range(many)]  # in mixed order
    ran = sum(judged.stopped_at([value] * 26) or 27 for value in values)
    planned = trial_epochs_of(ladder_of(spec(HYPERBAND), many, 27), many, 27)
    assert abs(ran - planned) < planned / 4


@pytest.mark.parametrize("rule", ["{kind: median}", "{kind: patience}"])
def test_the_epochs_are_an_upper_limit_if_the_rule_depends_on_results(rule: str) -> None:
    found = plan(spec(f"stopping: {rule}"))
    assert (found.ladder, found.trial_epochs, found.at_most) == ([], 13 * 27, True)
    assert not any("train for all" in warning for warning in found.warnings)
    assert not plan(spec()).at_most
    assert not plan(spec(HYPERBAND)).at_most


def test_with_enough_the_epochs_are_an_upper_limit_and_the_plan_has_the_earliest_end() -> None:
    search = "search: {sampler: random, trials: 13}\nstopping: {enough: {within: 1, confidence: %g}}"
    found, hopeless = plan(spec(search % 0.5)), plan(spec(search % 0.99))
    assert (found.at_most, found.earliest_end) == (True, 8)  # the fewest trials that allow a forecast
    assert hopeless.earliest_end is None
    assert any("stopping.enough cannot end 13 trials before the last one" in warning for warning in hopeless.warnings)
    assert plan(spec()).earliest_end is None
