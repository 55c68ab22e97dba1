"""Reading a file of the largest allowed size takes work at most linear in its size; larger files are rejected."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from yaml.nodes import Node

from search_spaces import SpecError, load_sweep, parse_sweep, space, unreachable
from search_spaces.constraints import Constraint
from search_spaces.reading import tree
from search_spaces.reading.document import LARGEST_FILE, MOST_PROBLEMS, compose, dumped, value_of
from search_spaces.reading.tree import MOST_NODES
from search_spaces.trial import TrialConfig

HEAD = "name: large\nsearch: {sampler: random, trials: 9}\n"
LAYER = "space: {model: {layer: {kind: convnn, k: {int: [1, 9]}}}}\n"


def refused(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        parse_sweep(text)
    return str(caught.value)


def listing(path: str, items: Iterator[object]) -> str:
    """Return a file just below the size limit, with a choice."""
    found, size = [], 0
    for item in items:
        found.append(str(item))
        size += len(found[-1].encode()) + 1
        if size > LARGEST_FILE - 1000:
            break
    text = "{choice: [" + ",".join(found) + "]}"
    for name in reversed(path.split(".")):
        text = f"{{{name}: {text}}}"
    return text


def counted(monkeypatch: pytest.MonkeyPatch, owner: object, name: str) -> list[None]:
    """Return a list that gets an entry for every call of a function."""
    calls: list[None] = []
    whole: Callable[..., object] = getattr(owner, name)

    def call(*arguments: object, **named: object) -> object:
        calls.append(None)
        return whole(*arguments, **named)

    monkeypatch.setattr(owner, name, call)
    return calls


def test_files_above_the_size_limit_are_rejected(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    body = HEAD + LAYER
    file.write_text(body + "#" * (LARGEST_FILE - len(body)))
    assert load_sweep(file).name == "large"
    file.write_text(body + "#" * (6 * 10**6 - len(body)))
    with pytest.raises(SpecError) as caught:
        load_sweep(file)
    assert str(caught.value) == (
        f"{file}:1:1: a sweep file can have at most 1,048,576 bytes, got 6,000,000; "
        "write a range, as in {int: [1, 1000]}, or fewer values."
    )


def test_files_with_too_many_values_are_rejected_before_they_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    begun = HEAD + "space: {model: {layer: {kind: conv2d}}, training: {seed: {choice: ["
    calls = counted(monkeypatch, tree, "_plain_tag")
    assert "lists 1 twice" in refused(begun + "1," * (MOST_NODES - 100) + "]}}}")
    assert len(calls) > MOST_NODES // 2
    assert refused(begun + "1," * 500_000 + "]}}}").endswith(
        "a sweep file can have at most 250,000 values; write a range, as in {int: [1, 1000]}, or fewer values."
    )
    assert len(calls) <= 2 * MOST_NODES


def test_the_largest_possible_choice_is_read_and_described_briefly(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    file.write_text(
        HEAD
        + "space: "
        + listing("training.seed", itertools.count()).replace(
            "{training", "{model: {layer: {kind: conv2d}}, training", 1
        )
    )
    spec = load_sweep(file)
    (leaf,) = spec.space.domains()
    assert spec.space.size() == len(leaf.domain.examples()) > 100_000
    told = spec.describe()["domains"][leaf.path]
    assert told.startswith("one of 0, 1, 2, ")
    assert told.endswith(f"... ({spec.space.size():,} values)")
    assert len(told) < 1000


def test_checking_a_choice_of_many_values_takes_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = counted(monkeypatch, unreachable, "infeasibilities")
    values = ",".join(map(str, range(1, 20_000)))
    said = refused(f"{HEAD}space: {{model: {{layer: {{kind: convnn, k: {{choice: [{values}]}}}}}}}}")
    assert "k lists 100, which can never run" in said
    assert len(said.splitlines()) == MOST_PROBLEMS + 1
    assert MOST_PROBLEMS < len(tried) <= unreachable.LOOKED_AT


def test_checking_an_any_of_with_many_options_takes_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    shaped = counted(monkeypatch, unreachable, "_shape")
    options = ",".join(["{kind: convnn, k: {choice: [1, 2, 3]}}"] * 500)
    spec = parse_sweep(f"{HEAD}space: {{model: {{layer: {{any_of: [{options}]}}}}}}")
    assert spec.space.size() == 1500
    spec.space.dead_pairs()
    assert len(shaped) <= 4 * unreachable.LOOKED_AT * unreachable._NODES


def test_a_value_that_never_runs_is_found_among_many_irrelevant_fields() -> None:
    seeds = ",".join(map(str, range(20_000)))
    layer = "{kind: convnn, k: {choice: [4, 2000]}}"
    text = f"{HEAD}space: {{training: {{seed: {{choice: [{seeds}]}}}}, model: {{layer: {layer}}}}}"
    assert "lists 2000, which can never run" in refused(text)


def test_checking_a_thousand_constraints_takes_bounded_work(monkeypatch: pytest.MonkeyPatch) -> None:
    rules = [f"k + {number} > {number}" for number in range(1000)]
    looked = counted(monkeypatch, Constraint, "broken")
    parse_sweep(HEAD + LAYER + dumped({"constraints": rules}))
    assert len(looked) == 1000  # the first draw satisfies all of them


def test_a_broken_rule_ends_the_check_of_a_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    spec = parse_sweep(HEAD + LAYER + dumped({"constraints": ["k <= 4", *(f"k < {n}" for n in range(100, 1000))]}))
    trial = TrialConfig.model_validate({"model": {"name": "vgg11", "layer": {"kind": "convnn", "k": 9}}})
    looked = counted(monkeypatch, Constraint, "broken")
    assert next(spec.infeasibilities(trial)).path == "constraints.0"
    assert len(looked) == 1


def test_with_constraints_fewer_points_are_affordable() -> None:
    found = parse_sweep(HEAD + LAYER).space
    assert found.affordable(1000) == 1000
    ruled = parse_sweep(HEAD + LAYER + dumped({"constraints": [f"k < {n}" for n in range(10, 1010)]})).space
    assert 1 <= ruled.affordable(1000) < 200
    assert space.POINTS_COUNTED > ruled.affordable(space.POINTS_COUNTED) > 1


@pytest.mark.parametrize(
    "text",
    [
        "\n".join(f"sapce{number}: 1" for number in range(20_000)),
        "space: {model: {layer: {kind: convnn, " + ", ".join(f"kk{n}: 1" for n in range(20_000)) + "}}}",
        "space: {model: {layer: {any_of: [" + ", ".join(["{kinf: conv2d}"] * 900) + "]}}}",
        "constraints: [" + ", ".join(f"kk{n} < 1" for n in range(900)) + "]",
        "space: {training: {lr: {choice: [" + ", ".join(["fast"] * 20_000) + "]}}}",
        ", ".join(["{a: 1, a: 2}"] * 20_000).join("[]").join(["space: ", ""]),
    ],
    ids=["keys", "fields", "options", "rules", "values", "duplicate keys"],
)
def test_only_the_first_of_many_mistakes_are_reported(text: str) -> None:
    lines = refused(text).splitlines()
    assert len(lines) == MOST_PROBLEMS + 1
    assert lines[-1] == "There may be more mistakes; only the first 100 are shown."
    assert max(map(len, lines)) < 2000


def test_a_long_word_is_shortened_in_messages() -> None:
    for text in (
        f"{'x' * 10**5}: 1",
        f"name: {'x ' * 10**5}",
        f"space: {{model: {{layer: {{any_of: [{{kind: {'x' * 10**5}}}]}}}}}}",
    ):
        assert max(map(len, refused(HEAD + text).splitlines())) < 2000


def test_a_word_that_starts_like_a_long_number_is_text() -> None:
    assert value_of(compose(f"a: {'1' * 200_000}x", "")) == {"a": "1" * 200_000 + "x"}


@pytest.mark.parametrize("opened", ["[", "{a: ", "- ", "? "])
def test_endless_nesting_is_rejected_without_ending_the_process(opened: str) -> None:
    assert "nested more than 40 levels deep" in refused("a:\n  " + opened * 100_000)


ROUND = {
    "numbers": [1, -2.5, 1e-05, 1e300, 10**30],
    "words": ["on", "1e-4", "~", "", " a", "größe", "\u2028\x85\x7f", "\U0001f600", "a: b", "#", "'", '"', "\\", "\t"],
    "others": [None, True, False, [], {}],
}


def test_large_and_small_texts_are_read_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    text = dumped(ROUND)
    small = compose(text, "a.yaml")
    assert value_of(small) == ROUND
    monkeypatch.setattr(tree, "_LARGE", 0)
    large = compose(text, "a.yaml")
    assert value_of(large) == ROUND

    def places(root: Node) -> list[tuple[int, int]]:
        below = [node for pair in root.value for node in (pair if isinstance(pair, tuple) else [pair])]
        nested = [] if isinstance(root.value, str) else [place for node in below for place in places(node)]
        return [(root.start_mark.line, root.start_mark.column), *nested]

    assert places(large) == places(small)


def test_a_large_dumped_tree_reads_back_unchanged() -> None:
    whole = {**ROUND, "many": list(range(20_000))}
    text = dumped(whole)
    assert json.dumps(whole, ensure_ascii=True)[:20] in text
    assert value_of(compose(text, "")) == whole


@pytest.mark.parametrize(
    ("end", "place"),
    [("b: [1, 2", "2:"), ("b: *c", "2:4: this is not YAML: found undefined alias 'c'"), (" b: 1\n  c", "3:")],
)
def test_a_mistake_in_a_large_text_has_its_position(end: str, place: str) -> None:
    message = refused(f"a: [{', '.join(map(str, range(10_000)))}]\n{end}\n")
    assert message.startswith("sweep.yaml:")
    assert "this is not YAML: " in message
    if place.endswith("'c'"):
        assert message.startswith(f"sweep.yaml:{place}")


def test_a_large_file_with_overrides_can_be_read_as_run(tmp_path: Path) -> None:
    file = tmp_path / "large.yaml"
    seeds = ",".join(map(str, range(20_000)))
    file.write_text(f"{HEAD}space: {{training: {{seed: {{choice: [{seeds}]}}}}, model: {{layer: {{kind: conv2d}}}}}}")
    spec = load_sweep(file, ["search.trials=7"])
    assert parse_sweep(spec.text).identity() == spec.identity()


def test_an_any_of_has_at_most_1000_options() -> None:
    for number in (1000, 1001):
        options = ",".join(["{kind: conv2d}"] * number)
        text = f"{HEAD}space: {{model: {{layer: {{any_of: [{options}]}}}}}}"
        if number == 1000:
            assert parse_sweep(text).space.size() == 1000
        else:
            assert "any_of must have at most 1,000 options, got 1,001; use fewer" in refused(text)


def test_a_file_has_at_most_1000_rules() -> None:
    rules = [f"k < {number}" for number in range(10, 1011)]
    assert len(parse_sweep(HEAD + LAYER + dumped({"constraints": rules[1:]})).constraints) == 1000
    assert "constraints must be at most 1,000 rules, got 1,001; " in refused(
        HEAD + LAYER + dumped({"constraints": rules})
    )
