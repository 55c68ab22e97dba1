"""Tells which samplers learn from earlier trials."""

from search_spaces import SweepSpec
from search_spaces.settings import Grid, RandomSearch


def learns(spec: SweepSpec) -> bool:
    """Whether a sweep's sampler learns, so that later trials may be better; unknown samplers count as learning."""
    return not isinstance(spec.search, RandomSearch | Grid)
