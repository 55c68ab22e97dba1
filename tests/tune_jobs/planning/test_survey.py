from typing import Any

import pytest

from search_spaces import parse_sweep
from search_spaces.constraints import Constraint
from search_spaces.reading.document import dumped
from tests.tune_jobs.planning.planned import spec
from tune_jobs.planning.plan import plan
from tune_jobs.planning.survey import survey_of


def test_configurations_are_counted_as_infeasible_equivalent_or_distinct() -> None:
    found = plan(spec())
    assert (found.points, found.looked_at) == (24, 24)
    # lambda 0 is one trial; of the other 3 x 3 x 2, k 9 and 16 do not fit 2 x 2 tokens without padding
    assert (found.distinct, sum(found.infeasible.values())) == (1 + 3 * 4, 3 * 2)
    assert found.equivalent == 24 - 6 - 13
    assert any("at most 4 for conv7" in reason for reason in found.infeasible)
    assert found.trials == 13


def test_a_continuous_space_is_judged_by_draws() -> None:
    found = plan(spec("search: {sampler: tpe, trials: 40}", training="lr: {log_uniform: [1e-5, 1e-3]}"))
    assert (found.points, found.looked_at, found.trials) == (None, 2000, 40)
    assert 0.15 < sum(found.infeasible.values()) / 2000 < 0.35  # 6 of 24


def test_with_more_constraints_fewer_configurations_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[str] = []
    whole = Constraint.broken

    def counted(rule: Constraint, *arguments: Any) -> str | None:
        looked.append(rule.text)
        return whole(rule, *arguments)

    monkeypatch.setattr(Constraint, "broken", counted)
    rules = [f"k + {number} > {number}" for number in range(1000)]
    text = dumped({"name": "a", "constraints": rules}) + (
        "space: {model: {layer: {kind: convnn, k: {int: [1, 9]}}}, training: {lr: {uniform: [0.1, 1]}}}\n"
        "search: {sampler: random, trials: 9}\n"
    )
    survey = survey_of(parse_sweep(text))
    assert 100 < survey.looked_at < 500
    assert len(looked) < 1000 + 500 * 1000
    assert survey.configs
