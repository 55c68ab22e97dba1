import itertools

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import SpecError
from search_spaces.reading.document import compose, dumped, override, value_of, written
from tests.search_spaces.strategies import fixed


def read(text: str) -> object:
    return value_of(compose(text, "sweep.yaml"))


def after(text: str, *assignments: str) -> object:
    root = compose(text, "sweep.yaml")
    for assignment in assignments:
        override(root, assignment)
    return value_of(root)


def complaint(text: str, *assignments: str) -> str:
    with pytest.raises(SpecError) as caught:
        after(text, *assignments)
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1e-4", 1e-4),
        ("1.0e-4", 1e-4),
        (".5", 0.5),
        ("-3", -3),
        ("010", 10),
        ("on", "on"),
        ("no", "no"),
        ("0x10", "0x10"),
        ("1_000", "1_000"),
        ("12:30", "12:30"),
        ("2024-01-01", "2024-01-01"),
        ("true", True),
        ("~", None),
        ("", None),
        ("'1e-4'", "1e-4"),
        ("!!str 7", "7"),
        ("größe", "größe"),
    ],
)
def test_values_are_read_as_in_yaml_1_2(text: str, value: object) -> None:
    found = read(f"a: {text}")
    assert found == {"a": value}
    assert type(value_of(compose(f"a: {text}", "").value[0][1])) is type(value)


def test_minus_zero_is_zero() -> None:
    assert written(read("a: -0.0")) == "{a: 0.0}"


def test_a_merge_key_adds_fields_and_own_fields_win() -> None:
    text = "base: &base {lr: 1, epochs: 2}\na: {lr: 3, <<: *base}\nb: {<<: [{lr: 4}, *base]}"
    assert read(text) == {
        "base": {"lr": 1, "epochs": 2},
        "a": {"lr": 3, "epochs": 2},
        "b": {"lr": 4, "epochs": 2},
    }


def test_every_node_knows_its_line_and_column() -> None:
    (_, value) = compose("a:\n  b: 1\n", "sweep.yaml").value[0][1].value[0]
    assert (value.start_mark.line + 1, value.start_mark.column + 1) == (2, 6)


def test_byte_order_marks_and_windows_line_endings_do_not_matter() -> None:
    assert read("\ufeffa: 1\r\nb: 2\r\n") == {"a": 1, "b": 2}


def test_a_control_character_is_reported_with_its_position() -> None:
    assert complaint("a: 1\nb: x\x07y") == (
        "sweep.yaml:2:5: the file contains the character U+0007, which YAML does not allow; delete it."
    )


@pytest.mark.parametrize("depth", [41, 10_000])
def test_unlimited_nesting_is_rejected_with_its_position(depth: int) -> None:
    assert complaint("a: " + "[" * depth + "]" * depth).endswith(
        "mappings and lists are nested more than 40 levels deep; reduce the nesting."
    )


def test_aliases_that_expand_to_billions_of_characters_are_rejected() -> None:
    letters = "abcdefghij"
    lines = [f"{b}: &{b} [{', '.join([f'*{a}'] * 10)}]" for a, b in itertools.pairwise(letters)]
    message = complaint("\n".join(["a: &a [1]", *lines]))
    assert (
        message
        == "sweep.yaml:1:1: its aliases expand to 3,456,790,133 characters; a sweep file can have at most 1,048,576."
    )


def test_integers_of_any_length_can_be_read() -> None:
    assert read(f"a: {'9' * 5000}") == {"a": float("inf")}


def test_set_changes_one_value() -> None:
    assert after("a: {b: 1, c: 2}", "a.b=3e-1") == {"a": {"b": 0.3, "c": 2}}


def test_set_creates_missing_mappings() -> None:
    assert after("a: 1", "b.c.d=x") == {"a": 1, "b": {"c": {"d": "x"}}}


def test_set_counts_list_items_from_0() -> None:
    assert after("a: [{b: 1}, {b: 2}]", "a.1.b=3", "a.0=null") == {"a": [None, {"b": 3}]}


def test_set_takes_any_yaml_value() -> None:
    assert after("a: 1", "a={choice: [1, 2]}", "b=") == {"a": {"choice": [1, 2]}, "b": None}


def test_set_does_not_change_other_uses_of_an_anchor() -> None:
    text = "a: &x {b: {c: 1}}\nd: *x\ne: {<<: *x}"
    assert after(text, "a.b.c=2") == {"a": {"b": {"c": 2}}, "d": {"b": {"c": 1}}, "e": {"b": {"c": 1}}}


def test_the_last_of_two_set_options_wins() -> None:
    assert after("a: 1", "a=2", "a=3") == {"a": 3}


FORM = "must be path=value without spaces around the =, as in --set space.training.epochs=3."


@pytest.mark.parametrize(
    ("assignment", "message"),
    [
        ("a", f"--set a, column 1: {FORM}"),
        ("=3", f"--set =3, column 1: {FORM}"),
        ("a..b=3", f"--set a..b=3, column 1: {FORM}"),
        ("a.b=3", "--set a.b=3, column 1: a.b cannot be set: a is a single value and has no keys."),
        ("a.b.c=3", "--set a.b.c=3, column 1: a.b.c cannot be set: a is a single value and has no keys."),
        ("l.5=3", "--set l.5=3, column 1: l.5 cannot be set: l has no item with that number."),
        ("l.x=3", "--set l.x=3, column 1: l.x cannot be set: l has no item with that number."),
        ("l.²=3", "--set l.²=3, column 1: l.² cannot be set: l has no item with that number."),
        ("l.5.b=3", "--set l.5.b=3, column 1: l.5.b cannot be set: l has no item with that number."),
    ],
)
def test_an_impossible_set_is_explained(assignment: str, message: str) -> None:
    assert complaint("a: 1\nl: [1, 2]", assignment) == message


def test_a_mistake_in_a_set_points_into_the_assignment() -> None:
    assert complaint("a: 1", "ab=[1").startswith("--set ab=[1, column 6: this is not YAML: ")


def test_a_set_of_two_lines_is_rejected() -> None:
    assert "must be set to one value on one line" in complaint("a: 1", "a=1\nb: 2")


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(10**20), 10**20)
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.sampled_from(["1e-4", "on", "12e3", "<<", "1:2", "~", "", "0x1", " a"])
)
trees = st.recursive(
    scalars,
    lambda below: st.lists(below, max_size=3) | st.dictionaries(scalars.map(str), below, max_size=3),
    max_leaves=8,
)


@settings(fixed, max_examples=60)
@given(st.dictionaries(st.text("abc", min_size=1, max_size=3), trees, min_size=1, max_size=3))
def test_dumped_trees_read_back_unchanged(tree: dict[str, object]) -> None:
    assert read(dumped(tree)) == tree
