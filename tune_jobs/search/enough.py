"""Decides when a search has found enough (`stopping.enough`), from the ended trials alone."""

from collections.abc import Collection

from search_spaces import SweepSpec
from tune_jobs.record.rows import ENDED
from tune_jobs.results.forecast import Tried, chance_of_more, is_enough, tried
from tune_jobs.search.base import Judgement
from tune_jobs.search.samplers.learning import learns
from tune_jobs.search.study import Study

POINT = 0.01
"""One percentage point of accuracy."""


class EndOfSearch:
    """Judges a search again whenever a trial has ended."""

    def __init__(self, spec: SweepSpec) -> None:
        self._spec = spec
        self._planned = spec.planned() if spec.stopping.enough is not None else None
        self._seen = -1
        self._found: Judgement | None = None

    def judge(self, study: Study, by_hand: Collection[str]) -> Judgement | None:
        """Return why the ended trials are enough; `None` if they are not.

        Args:
            study: All trials.
            by_hand: The run keys of trials that users asked to stop. They are not representative of later trials.
        """
        if self._planned is not None and self._seen != study.ends:
            self._seen, self._found = study.ends, self._judge(study, by_hand, self._planned)
        return self._found

    def _judge(self, study: Study, by_hand: Collection[str], planned: int) -> Judgement | None:
        rule = self._spec.stopping.enough
        assert rule is not None
        ended = {key: state for key, state in study.states.items() if state in ENDED}
        left = planned - len(ended)
        within = rule.within * (POINT if self._spec.metric.endswith("accuracy") else 1.0)
        found = tried(
            ((state, study.last_value(key)) for key, state in ended.items() if _counts(key, state, by_hand)),
            maximize=self._spec.goal == "maximize",
            learns=learns(self._spec),
        )
        chance = chance_of_more(found, left, within)
        return _judgement(found, left, within, chance, rule.confidence) if is_enough(chance, rule.confidence) else None


def _counts(key: str, state: str, by_hand: Collection[str]) -> bool:
    return state != "stopped" or key not in by_hand


def _judgement(found: Tried, left: int, within: float, chance: float, confidence: float) -> Judgement:
    return Judgement(left, within, chance, confidence, found.near(within), len(found.finals), found.count)
