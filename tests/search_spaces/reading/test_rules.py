import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from search_spaces.constraints import parse_constraint
from search_spaces.reading.rules import ConstraintError
from tests.search_spaces.strategies import fixed
from tests.search_spaces.test_constraints import TRIAL, complaint, holds

WORDS = [*"()+-*/<>=!.,[]'\"&|%:#", "<=", "**", "k", "r", "lambda", "1e-4", "7", " ", "and", "__import__", "\n", "λ"]


@settings(fixed, max_examples=250)
@given(st.text(max_size=40) | st.lists(st.sampled_from(WORDS), max_size=12).map("".join))
@example("__import__('os').system('true') < k")
@example("k.__class__ < 1")
@example("k < " + "(" * 490)
@example("k < " + "-" * 490 + "1")
@example("k" + " + 1" * 120 + " < 1")
@example("k < " + "1" * 490)
@example("k < 1" + "0" * 400 + " / r")
@example("k < 0x10")
@example("k < 1_000")
@example("k < \N{ARABIC-INDIC DIGIT ONE}")
def test_any_text_is_a_rule_or_is_explained(text: str) -> None:
    try:
        rule = parse_constraint(text)
    except ConstraintError as error:
        messages = error.messages
    else:
        assert rule.names
        messages = (rule.broken(TRIAL) or "holds",)
    assert all(messages)


def test_a_rule_has_at_most_500_characters_and_40_nested_parentheses() -> None:
    assert holds("k" + " " * 495 + "> 4")
    assert holds("(" * 40 + "k" + ")" * 40 + " > 4")
    with pytest.raises(ConstraintError, match="at most 500 characters, got 501"):
        parse_constraint("k" + " " * 496 + "> 40")
    assert holds("+".join(["(-k)"] * 60) + " < 4")
    with pytest.raises(ConstraintError, match="more than 40 levels deep"):
        parse_constraint("(" * 41 + "k" + ")" * 41 + " > 4")


@pytest.mark.parametrize(
    ("rule", "words"),
    [
        ("k = r", "found '='; write == for equal, <= for at most"),
        ("k ≤ r", "write <="),
        ("k <= r and r < 9", "at character 8, found 'and'; write two rules"),
        ("(k <= r)", "expected ')' at character 4, found '<='; a comparison cannot be in parentheses"),
        ("max(k, r) < 9", "at character 4, found '('; a rule cannot use functions"),
        ("k ** 2 < r", "at character 4, found '*'; a rule can use only + - * /"),
        ("space.model.layer[convnn].k < 9", "at character 18, found '['; leave out the brackets"),
        ("k <", "expected a number, a field or '(' after it"),
        ("1e999 > k", "expected a smaller number at character 1"),
        ("2 > 1", "which is always true"),
        ("2 / 0 > 1", "which is always false"),
        ("learning_rate < 1", "names 'learning_rate', which is not a field; did you mean 'lr'?"),
        ("layer.k < 1", "did you mean 'model.layer.k'?"),
        ("space.training.batchsize < 9", "did you mean 'training.batch_size'?"),
        ("compile < 1", "names compile, which is not a number"),
        ("kind < 1", "may be model.attention.candidates.kind or model.attention.kind or model.layer.candidates.kind"),
    ],
)
def test_a_mistake_is_explained_with_a_way_out(rule: str, words: str) -> None:
    assert words in complaint(rule)
