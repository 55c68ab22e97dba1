"""What the geometry allows: a configuration that cannot run is known before it starts."""

from collections.abc import Iterator

from search_spaces.base import Infeasible
from search_spaces.trial import TrialConfig


def infeasibilities(trial: TrialConfig) -> Iterator[Infeasible]:
    """Everything that keeps `trial` from running; nothing if it can run."""
    return trial.model.infeasibilities()
