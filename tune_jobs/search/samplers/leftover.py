"""Draws unused configurations if a sampler keeps proposing infeasible or known ones."""

import random
from collections.abc import Callable

from search_spaces import Decided, Space, TrialConfig, run_key
from tune_jobs.search.samplers.base import Point

DRAWS = 2_000
"""Number of uniform draws from a space too large to enumerate, before the search gives up."""


def draw_unused(space: Space, seed: int, is_unused: Callable[[TrialConfig], bool]) -> Point | None:
    """Draw uniformly from the valid unused configurations; `None` if there is none or none was found."""
    if not space.is_small():
        rng = random.Random(seed)
        draws = (space.draw(rng) for _ in range(DRAWS))
        return next((draw for draw in draws if is_unused(space.resolve(Decided(draw)))), None)
    configs = ((point, space.resolve(Decided(point))) for point in space.points())
    left = {run_key(config): point for point, config in configs if is_unused(config)}
    return random.Random(seed).choice([left[key] for key in sorted(left)]) if left else None
