from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from search_spaces import (
    Decided,
    Infeasible,
    SpecError,
    SweepSpec,
    TrialConfig,
    infeasibilities,
    json_schema,
    parse_sweep,
)
from search_spaces.constraints import broken, parse_constraint
from search_spaces.reading.document import dumped
from search_spaces.reading.rules import ConstraintError
from search_spaces.space import _never_met
from tests.search_spaces.strategies import fixed, spaces, trials

K, R = 9, 4


def trial(k: int, r: int) -> TrialConfig:
    layer = {"kind": "convnn", "k": k, "candidates": {"kind": "random", "r": r}}
    training = {"lr": 0.5, "batch_size": 32, "clip_norm": None}
    return TrialConfig.model_validate({"model": {"name": "vgg11", "layer": layer}, "training": training})


TRIAL = trial(K, R)


LAYER = "{kind: convnn, k: {choice: [2, 4, 9]}, candidates: {kind: random, r: {choice: [4, 9, 16]}}}"


def sweep(*rules: str, layer: str = LAYER, more: str = "") -> SweepSpec:
    return parse_sweep(
        dumped({"name": "a", "constraints": list(rules)}) + f"space: {{model: {{layer: {layer}}}}}{more}"
    )


def complaint(*rules: str, layer: str = LAYER, more: str = "") -> str:
    with pytest.raises(SpecError) as caught:
        sweep(*rules, layer=layer, more=more)
    return str(caught.value)


def holds(rule: str, config: TrialConfig = TRIAL) -> bool:
    layers = getattr(config.model, "layers", None)
    ranges = [(name, frozenset({layer.kind})) for name, layer in layers.by_range.items()] if layers else []
    return parse_constraint(rule, ranges=tuple(ranges)).broken(config) is None


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("k <= r", False),
        ("r <= k", True),
        ("r < k > r", True),
        ("4 <= r < 4", False),
        ("k == 9.0", True),
        ("k != 9", False),
        ("r + r * r == 20", True),
        ("(r + r) * r == 32", True),
        ("k - r - 1 == 4", True),
        ("r / 2 / 2 == 1", True),
        ("-r * -2 == 8", True),
        ("+k >= - - 9", True),
        ("lr * batch_size <= 16", True),
        ("lr > 1e-4", True),
        ("lr > .5", False),
        ("lr == 5E-1", True),
        ("k == 0009", True),
        ("k\n  >=\tr", True),
        ("space.model.layer.k * 2 < model.layer.candidates.r", False),
    ],
)
def test_a_rule_is_arithmetic_and_comparisons_of_fields(rule: str, expected: bool) -> None:
    assert holds(rule) == expected


@pytest.mark.parametrize("rule", ["lambda < 0", "head_dim < 0", "clip_norm < 0", "k < stride", "limit / 0 == 1"])
def test_a_rule_about_a_field_that_a_trial_lacks_holds(rule: str) -> None:
    assert holds(rule)


def test_a_name_means_the_field_of_whichever_model_has_it() -> None:
    attention = {"name": "vit_tiny", "attention": {"kind": "kvt", "k": 3}}
    other = TrialConfig.model_validate({"model": attention})
    assert not holds("k < 3", other)
    assert not holds("k < 9")
    assert holds("model.layer.k < 3", other)


def test_lambda_is_called_as_in_the_file() -> None:
    hybrid = {"name": "vgg11", "layer": {"kind": "hybrid", "lambda": 0.5}}
    assert not holds("lambda < 0.5", TrialConfig.model_validate({"model": hybrid}))


def test_a_broken_rule_is_shown_with_its_values_each_once() -> None:
    rules = [parse_constraint(text) for text in ("k  <= r", "r < k", "lr + k - lr > k * 1")]
    assert list(broken(rules, TRIAL)) == [
        Infeasible("constraints.0", "k <= r does not hold: k = 9, r = 4"),
        Infeasible("constraints.2", "lr + k - lr > k * 1 does not hold: lr = 0.5, k = 9"),
    ]


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ("k / (r - 4) > 0", "division by zero where k = 9, r = 4"),
        ("k != 1 / (r - 4)", "division by zero where k = 9, r = 4"),
        ("lr * 1e308 * 1e308 != 0", "a result too large to compute where lr = 0.5"),
        (f"lr * {'*'.join(['9' * 39] * 8)} > 0", "a result too large to compute where lr = 0.5"),
    ],
)
def test_a_rule_that_cannot_be_computed_is_broken(rule: str, reason: str) -> None:
    assert parse_constraint(rule).broken(TRIAL) == reason


NUMBERS = st.one_of(
    st.integers(0, 30).map(str), st.sampled_from(["1e-4", "0.5", "2.", ".25", "3E2", "1.5e+1", "k", "r", "lr"])
)


def grown(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    pair = st.tuples(inner, st.sampled_from([" + ", " - ", "*", "/ ", "-"]), inner).map("".join)
    return st.one_of(pair, inner.map("({})".format), inner.map("-{}".format))


SUMS = st.recursive(NUMBERS, grown, max_leaves=8)


SIGNS = st.sampled_from([" < ", "<=", " > ", ">= ", "==", " != "])


@settings(fixed, max_examples=250)
@given(SUMS, st.lists(st.tuples(SIGNS, SUMS), min_size=1, max_size=3))
def test_a_rule_evaluates_as_in_python(first: str, rest: list[tuple[str, str]]) -> None:
    text = f"k + {first}" + "".join(sign + side for sign, side in rest)
    try:
        expected = eval(text, {}, {"k": K, "r": R, "lr": 0.5})  # noqa: S307 - Python is the oracle of generated text
    except ZeroDivisionError:
        expected = False
    assert holds(text) == expected


@settings(fixed, max_examples=80)
@given(st.lists(st.text(max_size=9) | st.none() | st.integers() | st.lists(st.none()) | st.just("k < 9"), max_size=3))
def test_any_list_is_read_or_explained(rules: list[Any]) -> None:
    text = dumped({"name": "a", "space": {"model": {"layer": {"kind": "convnn"}}}, "constraints": rules})
    try:
        paths = {f"constraints.{number}" for number, _ in enumerate(parse_sweep(text).constraints)}
    except SpecError as error:
        paths = {problem.path for problem in error.problems}
    assert paths <= {f"constraints.{number}" for number, _ in enumerate(rules)}


class Side(BaseModel):
    size: int
    label: str


class Pair(BaseModel):
    left: Side
    right: Side | None


def test_a_name_that_two_fields_have_must_be_a_full_path() -> None:
    with pytest.raises(ConstraintError, match=r"names size, which may be left.size or right.size; write the full path"):
        parse_constraint("size < 3", Pair)
    assert parse_constraint("left.size < right.size", Pair).names[1].attributes == (("right", "size"),)


def test_the_geometry_is_checked_before_the_rules() -> None:
    spec = sweep("k <= r", "r <= 9", layer=LAYER.replace("[2, 4, 9]", "[2, 4, 12]"))
    both = spec.space.resolve(Decided({"space.model.layer.k": 12, "space.model.layer.candidates.r": 4}))
    assert [reason.path for reason in spec.infeasibilities(both)] == ["model.layer.k", "constraints.0"]
    assert [rule.text for rule in spec.constraints] == spec.describe()["constraints"] == ["k <= r", "r <= 9"]


def test_only_points_that_satisfy_the_rules_are_counted() -> None:
    every = sweep(layer=LAYER)
    assert (every.space.size(), every.planned()) == (9, 8)  # k = 9 with r = 4 cannot run
    assert sweep("k * 2 <= r").planned() == 3 + 2
    assert sweep("k * 2 <= r").space.size() == 9
    assert sweep("k * 2 <= r", more="\nsearch: {sampler: random, trials: 3}").planned() == 3


@settings(fixed, max_examples=25)
@given(spaces(), st.sampled_from(["k <= r", "k < 9", "lr * 10 < epochs", "lambda * k > 1", "stride != padding + 1"]))
def test_a_space_counts_what_the_definition_counts(space: Any, rule: str) -> None:
    text = dumped({"name": "a", "space": space, "search": {"sampler": "random", "trials": 9}})
    try:
        whole, ruled = parse_sweep(text).space, parse_sweep(f"{text}constraints: ['{rule}']").space
    except SpecError:
        return
    if (whole.size() or 9999) > 300:
        return
    configs = [whole.resolve(Decided(point)) for point in whole.points()]
    left = [config for config in configs if not any(infeasibilities(config)) and holds(rule, config)]
    assert (ruled.distinct() or 0) <= (whole.distinct() or 0)
    assert (ruled.distinct() or 0) <= len(left)
    assert bool(ruled.distinct()) == bool(left)
    assert left == [config for config in configs if not any(ruled.infeasibilities(config))]


RANGES = "{kind: convnn, k: {int: [4, 12]}, candidates: {kind: random, r: {int: [9, 16]}, when_too_few: all}}"


SAMPLED = "\nsearch: {sampler: random, trials: 3}"


@pytest.mark.parametrize("rule", ["k < 4", "r == 17", "k * r > 192", "k / r <= 0.2", "r - k > 12", "9 < k < 4"])
def test_a_rule_refuted_by_the_ends_of_the_ranges_is_rejected(rule: str) -> None:
    assert f"constraints.0 {rule} never holds where" in complaint(rule, layer=RANGES, more=SAMPLED)


def test_a_rule_that_only_draws_contradict_is_left_to_the_search() -> None:
    real = "{kind: hybrid, lambda: {uniform: [0.25, 0.75]}, k: {int: [4, 12]}}"
    assert sweep("k != k", layer=real, more=SAMPLED).constraints
    assert "k != k does not hold" in complaint("k != k", layer=RANGES, more=SAMPLED)  # every point was checked


@pytest.mark.parametrize("rule", ["k <= 4", "r == 16", "k * r > 190", "k / (r - 9) < 99", "k < lambda"])
def test_a_rule_that_some_point_may_satisfy_is_accepted(rule: str) -> None:
    assert sweep(rule, layer=RANGES, more=SAMPLED).constraints


def test_a_branch_without_the_field_or_with_null_satisfies_a_rule() -> None:
    assert sweep("k > 99", layer=f"{{any_of: [{RANGES}, {{kind: conv2d}}]}}", more=SAMPLED).constraints
    listed = (
        "\nspace: {model: {layer: {kind: convnn}}, training: {lr: {uniform: [0.1, 1]}, clip_norm: {choice: [null, 1]}}}"
    )
    assert parse_sweep(f"name: a\nconstraints: [clip_norm > 2]{listed}{SAMPLED}").constraints


def test_rules_that_no_point_satisfies_together_are_rejected_together() -> None:
    way = "cannot all hold in any configuration that can run; relax a rule, or give the fields more values."
    assert complaint("k > 4", "r == 4") == f"sweep.yaml:3:1: constraints {way}"


def test_rules_broken_differently_in_each_branch_are_rejected_together() -> None:
    layer = f"{{any_of: [{RANGES}, {{kind: hybrid, lambda: {{uniform: [0.1, 0.5]}}, k: 2}}]}}"
    assert ": constraints cannot all hold in any configuration" in complaint(
        "k < 4", "lambda > 0.5", "k > 2", layer=layer, more=SAMPLED
    )


def test_null_values_and_division_by_zero_do_not_refute_a_rule() -> None:
    training = "training: {lr: {uniform: [0.1, 1]}, clip_norm: {choice: [1, null]}}"
    for rule in ("clip_norm > 2", "1 / (lr - 0.5) > 20"):
        spec = parse_sweep(
            f"name: a\nconstraints: [{rule}]\nspace: {{model: {{layer: {RANGES}}}, {training}}}{SAMPLED}"
        )
        assert not _never_met(spec.space)


def test_rules_are_not_blamed_if_the_geometry_excludes_everything() -> None:
    lines = complaint("k <= 4", layer=LAYER.replace("[2, 4, 9]", "[400]")).splitlines()
    assert [line.split()[1] for line in lines] == ["space.model.layer.k"]


def test_mistakes_in_rules_are_reported_with_all_others_in_file_order() -> None:
    text = f"name: a b\nconstraints: [kk < 3]\nspace: {{model: {{layer: {LAYER}}}}}\nsearch: {{sampler: x}}"
    with pytest.raises(SpecError) as caught:
        parse_sweep(text)
    assert [problem.path for problem in caught.value.problems] == ["name", "constraints.0", "search.sampler"]


def test_a_default_breaks_a_rule_like_any_other_value() -> None:
    assert "batch_size < 256 does not hold: batch_size = 256, and likewise for every" in complaint("batch_size < 256")
    assert "batch_size < 256 never holds where batch_size = 256" in complaint(
        "batch_size < 256", layer=RANGES, more=SAMPLED
    )


@settings(fixed, max_examples=200)
@given(st.lists(st.tuples(*[st.integers(1, 12)] * 2).map(sorted), min_size=2, max_size=2), SUMS, SIGNS, SUMS)
def test_a_rule_refuted_by_the_ends_holds_nowhere_between(
    ends: list[list[int]], left: str, sign: str, right: str
) -> None:
    rule = parse_constraint(f"k * 0 + {left}{sign}{right}")

    (k_low, k_high), (r_low, r_high) = ends
    if rule.impossible(trial(k_low, r_low), trial(k_high, r_high)) is None:
        return
    inside = [trial(k, r) for k in range(k_low, k_high + 1) for r in range(r_low, r_high + 1)]
    assert all(rule.broken(each) is not None for each in inside)


@pytest.mark.parametrize(
    ("rule", "normal"),
    [
        (" k<=r\n", "k <= r"),
        ("4<=k<0012.50", "4 <= k < 12.5"),
        ("model.layer.k == 1E-3", "model.layer.k == 0.001"),
        ("space.training.lr*2. >= +lr", "training.lr * 2 >= 0 + training.lr"),
        ("lambda != .5", "lambda != 0.5"),
        ("k < 1e20 - 100000000000000000000", "k < 1e+20 - 1e+20"),
        ("((k) + (r * 2)) - (k - (r)) > (k*r)/(k/r)", "k + r * 2 - (k - r) > k * r / (k / r)"),
        ("(k + r)*2 < -(k)", "(k + r) * 2 < 0 - k"),
    ],
)
def test_a_rule_has_one_normal_form(rule: str, normal: str) -> None:
    assert parse_constraint(rule).normal() == normal


@settings(fixed, max_examples=150)
@given(SUMS, st.lists(st.tuples(SIGNS, SUMS), min_size=1, max_size=2))
def test_the_normal_form_of_a_rule_is_equivalent(first: str, rest: list[tuple[str, str]]) -> None:
    text = f"k + {first}" + "".join(sign + side for sign, side in rest)
    normal = parse_constraint(text).normal()
    assert parse_constraint(normal).normal() == normal
    assert holds(normal) == holds(text)


def test_rules_are_part_of_a_sweeps_identity_and_of_the_text_as_run() -> None:
    assert sweep("k <= r").identity() != sweep("k < r").identity()
    assert sweep("r>1", "k<=r", "k <= (r)").identity()["constraints"] == ["k <= r", "r > 1"]
    text = f"name: a\nspace: {{model: {{layer: {LAYER}}}}}\nconstraints: [k <= r, '4 <= r']"
    spec = parse_sweep(text, "f.yaml", ["constraints.0=k < r"])
    assert [rule.text for rule in parse_sweep(spec.text).constraints] == ["k < r", "4 <= r"]
    with pytest.raises(SpecError, match=r"^--set constraints.1=k < q, column 15: constraints.1 names 'q'"):
        parse_sweep(text, "f.yaml", ["constraints.1=k < q"])


def test_an_editor_knows_that_rules_are_a_list_of_text() -> None:
    entry = json_schema()["properties"]["constraints"]
    assert entry["type"] == "array"
    assert entry["items"]["type"] == "string"
    assert "4 <= k <= r" in entry["description"]


@settings(fixed, max_examples=60)
@given(trials())
def test_every_number_of_a_trial_can_be_named_by_its_full_path(tree: Any) -> None:
    config = TrialConfig.model_validate(
        {name: {"name": "vgg11", **part} if name == "model" else part for name, part in tree.items()}
    )

    def numbers(part: Any, path: str) -> Any:
        for name, value in part.items():
            if isinstance(value, dict):
                yield from numbers(value, f"{path}{name}.")
            elif isinstance(value, int | float) and not isinstance(value, bool):
                yield f"{path}{name}", value

    for path, value in numbers(config.model_dump(by_alias=True), ""):
        assert holds(f"{path} == {value!r}", config), path
        assert not holds(f"space.{path} != {value!r}", config), path
