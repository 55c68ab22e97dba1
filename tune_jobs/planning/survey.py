"""What a space holds: how many of its points can run, which are the same, and why the others cannot."""

from collections import Counter
from dataclasses import dataclass

from search_spaces import SweepSpec, TrialConfig
from search_spaces.canonical import form_and_key

DRAWS = 2000
"""Uniform draws that stand for a space which is not finite, or too large to be looked at whole."""


@dataclass(frozen=True)
class Survey:
    """What was found of a space."""

    looked_at: int
    whole: bool
    """Whether these were all of its points."""

    infeasible: Counter[str]
    """Points that cannot run, by what keeps them from it."""

    configs: list[TrialConfig]
    """The different ones that can."""


def survey_of(spec: SweepSpec, at_most: int | None = None) -> Survey:
    """Look at every point of a small finite space, else at uniform draws; at no more than `at_most`, if given."""
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
