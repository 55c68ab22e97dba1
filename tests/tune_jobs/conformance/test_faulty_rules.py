"""Each fault of a stopping rule is reported in one clear line for the right property."""

from typing import ClassVar, Literal

import optuna
import pytest

from convnn.plugins import STOPPING_RULES
from search_spaces import Space
from search_spaces.settings import RULES, Stopping
from tests.tune_jobs.conformance.faults import assert_reported
from tune_jobs.conformance.kinds import Subject
from tune_jobs.search.pruners.base import StoppingRule, score

HERE = __name__


class Raw(Stopping):
    """A rule that compares raw values, whatever the goal."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:RawRule"
    kind: Literal["raw"]


class RawRule(StoppingRule):
    def __init__(self, settings: Raw, space: Space) -> None:
        del settings, space

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        del study
        return trial.intermediate_values[trial.last_step or 0] < 0.4


class Counting(Stopping):
    """A rule with a state outside of the record."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:CountingRule"
    kind: Literal["counting"]


class CountingRule(StoppingRule):
    asked = 0

    def __init__(self, settings: Counting, space: Space) -> None:
        del settings, space

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        del study, trial
        CountingRule.asked += 1
        return CountingRule.asked % 5 == 0


class Hopeful(Stopping):
    """A rule that does not stop trials with NaN."""

    config_version: ClassVar[int] = 1
    made_by: ClassVar[str] = f"{HERE}:HopefulRule"
    kind: Literal["hopeful"]


class HopefulRule(StoppingRule):
    def __init__(self, settings: Hopeful, space: Space) -> None:
        del settings, space

    def stops(self, study: optuna.Study, trial: optuna.trial.FrozenTrial) -> bool:
        value = trial.intermediate_values[trial.last_step or 0]
        return value == value and score(study, value) < 0.4  # noqa: PLR0124 - NaN is not


class Idle(Stopping):
    """Settings without `made_by`."""

    config_version: ClassVar[int] = 1
    kind: Literal["idle"]


SETTLED = "with settled ranks it stops the same trials, also rebuilt and minimized"
RULE_FAULTS: list[tuple[type[Stopping], str, str]] = [
    (Raw, "minimizing the negated metric gives the same decisions", "its decisions differ for a loss: trial "),
    (
        Counting,
        "a search rebuilt at any record stops the same trials at the same epochs",
        "get other decisions the second time",
    ),
    (
        Hopeful,
        "NaN is never better than the worst value",
        "a trial with NaN runs to epoch 9, but the worst trial only to",
    ),
    (
        Idle,
        SETTLED,
        "must name the function that makes it from its settings and the space: made_by = 'package.module:name'.",
    ),
]


@pytest.mark.parametrize(("kind", "broken", "said"), RULE_FAULTS, ids=lambda each: getattr(each, "__name__", ""))
def test_a_fault_of_a_stopping_rule_is_reported_in_one_line(kind: type[Stopping], broken: str, said: str) -> None:
    subject = Subject(STOPPING_RULES, kind.__name__.lower(), None, kind, "search_spaces.settings", "kind")
    assert_reported(subject, RULES.registered(kind), broken, said)
