"""Random search: independent uniform draws."""

import optuna

from search_spaces import Space
from search_spaces.settings import RandomSearch
from tune_jobs.search.samplers.base import Sampler


class UniformSampler(Sampler):
    """Draws each configuration from the whole space."""

    def __init__(self, settings: RandomSearch, space: Space) -> None:
        del settings, space

    def decide(self, number: int, seed: int) -> optuna.samplers.BaseSampler:
        """Return Optuna's random sampler."""
        del number
        return optuna.samplers.RandomSampler(seed=seed)
