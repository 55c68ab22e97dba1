import optuna

from search_spaces.settings import RandomSearch
from tests.tune_jobs.driver.by_hand import SPEC
from tune_jobs.search.samplers.random import UniformSampler


def test_draws_depend_only_on_the_seed_and_cover_the_space() -> None:
    sampler = UniformSampler(RandomSearch(sampler="random", trials=9), SPEC.space)

    def draw(number: int, seed: int) -> float:
        study = optuna.create_study(sampler=sampler.decide(number, seed))
        return study.ask().suggest_float("x", 0, 1)

    assert draw(0, 7) == draw(5, 7)
    drawn = [draw(0, seed) for seed in range(40)]
    assert min(drawn) < 0.2
    assert max(drawn) > 0.8
