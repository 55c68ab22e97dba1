"""Grid search: every configuration of a space of choices, in file order."""

import itertools

from search_spaces import Space
from search_spaces.settings import Grid
from tune_jobs.search.samplers.base import Point, Sampler


class GridSampler(Sampler):
    """Visits all configurations of a space."""

    goes_through_all = True

    def __init__(self, settings: Grid, space: Space) -> None:
        del settings
        self._points = space.points()
        self._next = 0

    def decide(self, number: int, seed: int) -> Point | None:
        """Return the configuration of this number."""
        del seed
        ahead, self._next = number - self._next, number + 1
        return next(itertools.islice(self._points, ahead, None), None)
