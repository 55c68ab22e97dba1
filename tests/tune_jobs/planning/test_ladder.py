from tests.tune_jobs.planning.planned import spec
from tune_jobs.planning.plan import plan


def test_a_ladder_keeps_a_share_at_each_rung_and_its_epochs_add_up() -> None:
    found = plan(spec("stopping: {kind: asha, grace_epochs: 3, reduction_factor: 3}\nsearch: {sampler: grid}"))
    assert [(rung.epoch, rung.survivors) for rung in found.ladder] == [(3, 5), (9, 2)]
    assert found.trial_epochs == 13 * 3 + 5 * (9 - 3) + 2 * (27 - 9)
    assert plan(spec()).trial_epochs == 13 * 27
