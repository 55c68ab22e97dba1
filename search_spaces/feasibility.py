"""Feasibility by geometry: configurations that cannot run are found before they start."""

from collections.abc import Iterator

from search_spaces.base import Infeasible
from search_spaces.trial import TrialConfig


def infeasibilities(trial: TrialConfig) -> Iterator[Infeasible]:
    """Return every reason why `trial` cannot run; none if it can."""
    return trial.model.infeasibilities()
