"""Properties of every registered stopping rule, on curves from hypothesis; `convnn check-plugin` tests the same."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces.settings import RULES, Stopping
from tests.search_spaces.strategies import fixed
from tune_jobs.conformance import rules
from tune_jobs.conformance.played import Curves
from tune_jobs.conformance.rules import EPOCHS, ODD, TRIALS
from tune_jobs.conformance.settings import read, trees

curves = st.lists(
    st.lists(st.sampled_from(ODD) | st.floats(0, 1), min_size=EPOCHS, max_size=EPOCHS),
    min_size=TRIALS,
    max_size=TRIALS,
)

ALL = [read(kind, tree) for kind in RULES.classes() for tree in trees(kind, "kind")]
each_rule = pytest.mark.parametrize("rule", ALL, ids=lambda rule: rule.kind)


@each_rule
@settings(fixed, max_examples=2)
@given(curves=curves)
def test_a_search_rebuilt_at_any_record_stops_the_same_trials_at_the_same_epochs(
    rule: Stopping, curves: Curves
) -> None:
    rules.same_rebuilt(rule, curves)


@each_rule
@settings(fixed, max_examples=6)
@given(curves=curves)
def test_minimizing_the_negated_metric_decides_the_same(rule: Stopping, curves: Curves) -> None:
    rules.same_minimized(rule, curves)


@each_rule
def test_with_settled_ranks_each_rule_stops_the_same_trials_also_rebuilt_and_minimized(rule: Stopping) -> None:
    rebuilt = rule.kind == "auto"  # it stops no trial in the short searches of the test above
    assert any(stops for _, _, stops in rules.settled(rule, rebuilt=rebuilt)) == (rule.kind != "none")


@each_rule
@settings(fixed, max_examples=6)
@given(curves=curves)
def test_no_trial_counts_as_stopped_at_its_last_epoch(rule: Stopping, curves: Curves) -> None:
    rules.runs_to_the_end(rule, curves)


@each_rule
@pytest.mark.parametrize("value", [0.5, math.nan, math.inf])
def test_constant_and_equal_curves_get_the_same_decisions_for_both_goals(rule: Stopping, value: float) -> None:
    rules.constant(rule, value)


@each_rule
@settings(fixed, max_examples=6)
@given(curves=curves, place=st.integers(0, TRIALS - 1))
def test_nan_is_never_better_than_the_worst_value(rule: Stopping, curves: Curves, place: int) -> None:
    rules.nan_is_worst(rule, curves, place)


@each_rule
@settings(fixed, max_examples=2)
@given(curves=curves)
def test_the_values_of_an_excluded_trial_do_not_matter(rule: Stopping, curves: Curves) -> None:
    rules.excluded_unseen(rule, curves)


@each_rule
def test_the_order_in_which_epochs_are_stored_does_not_matter(rule: Stopping) -> None:
    rules.any_order(rule)
