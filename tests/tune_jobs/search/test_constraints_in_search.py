"""How a search applies the constraints in a sweep file."""

import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Decided, SweepSpec, TrialConfig, infeasibilities, parse_sweep
from tests.search_spaces.strategies import fixed
from tests.tune_jobs.search.recorded import Recorded
from tests.tune_jobs.search.simulated import MIXED, THIRTY, opened, run, spec
from tune_jobs.record.ledger import Ledger

RULES: dict[str, tuple[tuple[str, ...], Callable[..., bool]]] = {
    "k * 2 <= r": (("k", "r"), lambda k, r: k * 2 <= r),
    "4 <= k <= 12": (("k",), lambda k: 4 <= k <= 12),
    "lambda * k > 1": (("lambda", "k"), lambda share, k: share * k > 1),
    "lr * k < 0.01": (("lr", "k"), lambda lr, k: lr * k < 0.01),
    "r / (k - 3) < 9": (("r", "k"), lambda r, k: k != 3 and r / (k - 3) < 9),
    "kernel_size != 5": (("kernel_size",), lambda size: size != 5),
}
"""The fields of each rule, and the same rule in Python, by the rule's text in a sweep file."""


def leaves(tree: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    """Yield each field by its last name; these are unique among the fields in rules."""
    for name, value in tree.items():
        if isinstance(value, dict):
            yield from leaves(value)
        elif value is not None:
            yield name, value


def holds(rule: str, trial: TrialConfig) -> bool:
    """Whether a trial satisfies a rule; a trial that lacks one of its fields does."""
    fields, check = RULES[rule]
    known = dict(leaves(trial.model_dump(by_alias=True)))
    return not known.keys() >= set(fields) or check(*(known[name] for name in fields))


def ruled(sweep: SweepSpec, *rules: str) -> SweepSpec:
    return parse_sweep(sweep.text + f"constraints: {list(rules)}\n")


def handed_out(sweep: SweepSpec, ledger: Ledger) -> list[str]:
    """Complete all trials of a sweep immediately, and return their run keys."""
    search = Recorded(sweep, ledger)
    keys = []
    while (job := search.next()) is not None:
        keys.append(job.run_key)
        search.report(job, 9, {"val/accuracy": 1 / len(keys)})
        search.end(job, "complete")
    return keys


@settings(fixed, max_examples=8)
@given(st.sampled_from(["tpe", "random"]), st.sets(st.sampled_from([*RULES]), min_size=1), st.integers(0, 99))
def test_every_proposed_trial_satisfies_every_rule(sampler: str, rules: set[str], seed: int) -> None:
    sweep = ruled(spec(MIXED, f"{{sampler: {sampler}, trials: 6, seed: {seed}}}"), *sorted(rules))
    with tempfile.TemporaryDirectory() as folder, opened(Path(folder) / "ledger.db") as ledger:
        keys = handed_out(sweep, ledger)
        assert len(keys) == 6
        for ask in ledger.asks():
            asked = sweep.space.resolve(Decided(ask.decisions))
            runs = next(infeasibilities(asked), None) is None  # without the rules
            assert (ask.outcome != "infeasible") == (runs and all(holds(rule, asked) for rule in rules))
        for trial in ledger.trials():
            assert all(holds(rule, trial.config) for rule in rules)


@pytest.mark.parametrize("sampler", ["{sampler: grid}", "{sampler: random, trials: 99}", "{sampler: tpe, trials: 99}"])
def test_a_finite_space_ends_when_every_configuration_within_the_rules_was_tried(tmp_path: Path, sampler: str) -> None:
    sweep = ruled(spec(THIRTY, sampler, lr="1e-3"), "lambda * 8 < k", "k != 4")
    with opened(tmp_path / "ledger.db") as ledger:
        keys = handed_out(sweep, ledger)
        assert len(set(keys)) == len(keys) == sweep.planned() == 2 * (3 + 2 + 0)
        assert Recorded(sweep, ledger).done


def test_a_configuration_that_breaks_a_rule_is_infeasible_in_the_study_and_not_counted(tmp_path: Path) -> None:
    sweep = ruled(spec(search="{sampler: tpe, trials: 9}"), "k < 12")
    with opened(tmp_path / "ledger.db") as ledger:
        assert len(handed_out(sweep, ledger)) == 9
        outcomes = [ask.outcome for ask in ledger.asks()]
        told = [trial for trial in Recorded(sweep, ledger).study.trials if trial.constraints]
        assert outcomes.count("new") == 9
        assert outcomes.count("infeasible") == len(told) > 0
        assert {(trial.state.name, trial.value) for trial in told} == {("PRUNED", None)}


@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_with_rules_rebuilt_from_its_ledger_continues_as_if_never_interrupted(
    tmp_path: Path, sampler: str
) -> None:
    sweep = ruled(spec(search=f"{{sampler: {sampler}, trials: 6}}"), "k < 12")
    assert run(sweep, tmp_path / "cut.db", interrupt=True) == run(sweep, tmp_path / "whole.db")
