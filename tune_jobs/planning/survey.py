"""Surveys a space: how many configurations are feasible, which are equivalent, and why the others are infeasible."""

from collections import Counter
from dataclasses import dataclass

from search_spaces import SweepSpec, TrialConfig
from search_spaces.canonical import form_and_key

DRAWS = 2000
"""Number of uniform draws that represent a space that is infinite or too large to enumerate."""


@dataclass(frozen=True)
class Survey:
    """The result of a survey."""

    looked_at: int
    whole: bool
    """Whether every configuration of the space was looked at."""

    infeasible: Counter[str]
    """Number of infeasible configurations, by reason."""

    configs: list[TrialConfig]
    """The distinct feasible configurations."""


def survey_of(spec: SweepSpec, at_most: int | None = None) -> Survey:
    """Look at every configuration of a small finite space, otherwise at uniform draws; at most `at_most`, if given."""
    size = spec.space.size()
    whole = spec.space.is_small() and size is not None and (at_most is None or size <= at_most)
    draws = DRAWS if at_most is None else min(DRAWS, at_most)
    infeasible: Counter[str] = Counter()
    found: dict[str, TrialConfig] = {}
    looked_at = 0
    for _, config in spec.space.sample(None if whole else draws):
        looked_at += 1
        reason = next(iter(spec.infeasibilities(config)), None)
        if reason is not None:
            infeasible[f"{reason.path} {reason.rule}"] += 1
        else:
            form, key = form_and_key(config)
            found.setdefault(key, form)
    return Survey(looked_at, whole, infeasible, list(found.values()))
