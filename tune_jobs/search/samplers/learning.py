"""Which samplers learn."""

from search_spaces import SweepSpec
from search_spaces.settings import Grid, RandomSearch


def learns(spec: SweepSpec) -> bool:
    """Whether a sweep's sampler learns, so that later trials may be better; one that we do not know may."""
    return not isinstance(spec.search, RandomSearch | Grid)
