from tests.tune_jobs.planning.planned import spec
from tune_jobs.planning.plan import plan


def test_points_are_counted_as_what_cannot_run_what_repeats_and_what_is_left() -> None:
    found = plan(spec())
    assert (found.points, found.looked_at) == (24, 24)
    # lambda 0 is one trial; of the other 3 x 3 x 2, k 9 and 16 do not fit 2 x 2 tokens without a ring
    assert (found.distinct, sum(found.infeasible.values())) == (1 + 3 * 4, 3 * 2)
    assert found.equivalent == 24 - 6 - 13
    assert any("at most 4 for conv7" in reason for reason in found.infeasible)
    assert found.trials == 13


def test_a_continuous_space_is_judged_by_draws() -> None:
    found = plan(spec("search: {sampler: tpe, trials: 40}", training="lr: {log_uniform: [1e-5, 1e-3]}"))
    assert (found.points, found.looked_at, found.trials) == (None, 2000, 40)
    assert 0.15 < sum(found.infeasible.values()) / 2000 < 0.35  # 6 of 24
