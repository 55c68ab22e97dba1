"""Any content of a file is answered with a message, never with a traceback."""

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Decided, SpecError, SweepSpec, parse_sweep
from search_spaces.reading.document import compose, dumped, value_of
from tests.search_spaces.strategies import fixed, spaces

SETTINGS = st.fixed_dictionaries(
    {"search": st.sampled_from([{"sampler": "tpe", "trials": 3}, {"sampler": "random", "trials": 3}, {}])},
    optional={
        "evaluation": st.sampled_from([{"protocol": "paper"}, {"fraction": 0.2}]),
        "stopping": st.sampled_from([{"kind": "asha", "grace_epochs": 2}, {"kind": "none"}]),
        "objective": st.sampled_from([{"metric": "val/loss"}, {"goal": "maximize"}]),
    },
)
JUNK: st.SearchStrategy[Any] = st.sampled_from(
    [
        *(None, True, -1, 0, 2.5, 10**50, float("inf"), float("nan"), "", "x", "1e-3", "kind", "<<", "größe"),
        *([], {}, [[]], [None], {"any_of": []}, {"any_of": [{}, None]}, {"any_of": 3}, {"choice": [None, True, 1]}),
        *(
            {"choice": [{}]},
            {"int": [1, 2]},
            {"int": [1, 9], "step": "x"},
            {"uniform": [0, 1]},
            {"log_uniform": [0, 1]},
        ),
        *({"kind": {"choice": ["a"]}}, {"": 1}, {"kind": "random"}, {"kind": ["all"]}, {"int": [10**30, 10**31]}),
    ]
)


def places(tree: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ()
    return [path, *(place for name, below in items for place in places(below, (*path, name)))]


def replaced(tree: Any, path: tuple[Any, ...], value: Any) -> Any:
    if not path:
        return value
    copy = tree.copy()
    copy[path[0]] = replaced(tree[path[0]], path[1:], value)
    return copy


@settings(fixed, max_examples=250)
@given(spaces(), SETTINGS, JUNK, st.data())
def test_any_value_anywhere_is_read_or_explained(space: Any, rest: Any, junk: Any, data: st.DataObject) -> None:
    tree = {"name": "x", "space": space, **rest}
    place = data.draw(st.sampled_from(places(tree)))
    text = dumped(replaced(tree, place, junk))
    spec = read(text)
    if spec is not None:
        spec.space.resolve(Decided(next(spec.space.points())))
        assert parse_sweep(dumped(value_of(compose(text, "")))).identity() == spec.identity()
        assert spec.describe()["name"] == spec.name


def read(text: str) -> SweepSpec | None:
    try:
        return parse_sweep(text)
    except SpecError:
        return None


@settings(fixed, max_examples=60)
@given(st.text())
def test_any_text_is_explained(text: str) -> None:
    with pytest.raises(SpecError):
        parse_sweep(text)


def complaints(text: str) -> list[str]:
    with pytest.raises(SpecError) as caught:
        parse_sweep(text, "f.yaml")
    return [str(problem) for problem in caught.value.problems]


def sweep(layer: str, training: str = "{}") -> str:
    return (
        f"name: a\nspace:\n  model: {{layer: {layer}}}\n  training: {training}\nsearch: {{sampler: random, trials: 3}}"
    )


def test_a_mistake_behind_an_alias_is_reported_once_at_its_position() -> None:
    text = sweep(
        "{any_of: [{kind: convnn, candidates: &c {kind: random, r: x}}, {kind: convnn, k: 4, candidates: *c}]}"
    )
    first, second = complaints(text)
    assert first.startswith("f.yaml:3:76: space.model.layer[convnn#1].candidates.r must be")
    assert second.startswith("f.yaml:3:76: space.model.layer[convnn#2].candidates.r must be")


def test_a_long_value_is_shortened_in_messages() -> None:
    (message,) = complaints(sweep("{kind: conv2d}", f"{{optimizer: {'x' * 5000}}}"))
    assert len(message) < 300


def test_a_merged_field_has_the_position_where_it_is_written() -> None:
    text = "base: &base {epochs: 0}\n" + sweep("{kind: conv2d}", "{<<: *base, lr: 0.1}")
    assert complaints(text)[1:] == [
        "f.yaml:1:22: space.training.epochs must be a whole number, at least 1, at most 100000; got 0.",
    ]


def test_an_anchor_may_be_used_within_the_space() -> None:
    text = sweep("{any_of: [&h {kind: hybrid, lambda: 0.5, k: 4}, {<<: *h, k: {choice: [9]}, lambda: 0.25}]}")
    assert [leaf.path for leaf in parse_sweep(text).space.domains()] == [
        "space.model.layer",
        "space.model.layer[hybrid#2].k",
    ]


def test_a_range_of_odd_numbers_is_valid_for_an_odd_field() -> None:
    spec = parse_sweep(
        "name: a\nspace: {model: {name: vit_tiny, attention: {kind: sparse, context: {int: [1, 7], step: 2}}}}\n"
        "search: {sampler: random, trials: 1}"
    )
    assert spec.describe()["domains"] == {"space.model.attention.context": "1 to 7, in steps of 2"}


def test_an_integer_is_accepted_for_a_real_number() -> None:
    assert parse_sweep(sweep("{kind: conv2d}", "{lr: 1}")).space.resolve(Decided({})).training.lr == 1.0


def test_an_empty_mapping_is_the_default_kind() -> None:
    text = sweep("{kind: convnn, candidates: {}}").replace("{sampler: random, trials: 3}", "{}")
    spec = parse_sweep(text + "\nstopping: {}\nevaluation: {fraction: 0.3}\nobjective: {}")
    assert (spec.search.sampler, spec.stopping.kind, spec.evaluation.protocol) == ("grid", "none", "holdout")
    assert spec.space.resolve(Decided({})).model.mixing_layer.model_dump()["candidates"] == {"kind": "all"}
