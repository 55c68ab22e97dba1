from search_spaces.settings import Grid
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.search.samplers.grid import GridSampler


def test_the_configurations_of_a_space_come_in_order_and_then_none() -> None:
    points = list(SPEC.space.points())
    sampler = GridSampler(Grid(), SPEC.space)
    assert [sampler.decide(number, 0) for number in range(4)] == points
    assert sampler.decide(4, 0) is None


def test_a_grid_resumes_at_the_number_that_it_had_reached() -> None:
    points = list(SPEC.space.points())
    assert GridSampler(Grid(), SPEC.space).decide(2, 0) == points[2]
