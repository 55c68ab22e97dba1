import itertools
import math
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Choice, Decided, FloatRange, IntRange, Space, TrialConfig, infeasibilities, parse_sweep
from search_spaces.reading.document import compose, dumped
from search_spaces.reading.reader import Reader
from tests.search_spaces.strategies import domains, fixed, models, spaces

FINITE = """
model:
  width: 0.125
  layer:
    any_of:
      - {kind: conv2d, kernel_size: {choice: [1, 3]}}
      - kind: hybrid
        lambda: {choice: [0.25, 0.5]}
        candidates: {any_of: [{kind: all}, {kind: random, r: {choice: [16, 32]}, when_too_few: all}]}
training: {lr: {choice: [1e-3, 1e-2]}}
"""


def space_of(text: str) -> Space:
    reader = Reader()
    root = reader.read(TrialConfig, compose(text, "space.yaml"), "space", varying="")
    assert root is not None, reader.problems
    return Space(root)


def test_a_finite_space_is_walked_in_file_order_the_last_domain_fastest() -> None:
    points = list(space_of(FINITE).points())
    layer, lam = "space.model.layer", "space.model.layer[hybrid].lambda"
    candidates = "space.model.layer[hybrid].candidates"
    rows = [[p[layer], p.get(lam), p.get(candidates), p.get(f"{candidates}[random].r")] for p in points]
    assert [p["space.training.lr"] for p in points] == [1e-3, 1e-2] * 8
    assert rows[::2] == [
        ["conv2d", None, None, None],
        ["conv2d", None, None, None],
        ["hybrid", 0.25, "all", None],
        ["hybrid", 0.25, "random", 16],
        ["hybrid", 0.25, "random", 32],
        ["hybrid", 0.5, "all", None],
        ["hybrid", 0.5, "random", 16],
        ["hybrid", 0.5, "random", 32],
    ]
    assert points[0] == {layer: "conv2d", "space.model.layer[conv2d].kernel_size": 1, "space.training.lr": 1e-3}


def test_a_decision_of_one_branch_is_absent_in_another() -> None:
    space = space_of(FINITE)
    trial = space.resolve(Decided(next(space.points())))
    assert trial.model.mixing_layer.model_dump() == {"kind": "conv2d", "kernel_size": 1}
    assert trial.training.lr == 1e-3


def test_a_space_without_domains_has_one_point() -> None:
    space = space_of("model: {layer: {kind: conv2d}}")
    assert list(space.points()) == [{}]
    assert space.size() == 1
    assert space.domains() == []


def test_a_continuous_space_has_no_size_and_names_its_ranges() -> None:
    space = space_of("model: {layer: {kind: conv2d}}\ntraining: {lr: {uniform: [0.1, 1]}, epochs: {int: [1, 3]}}")
    assert space.size() is None
    assert space.continuous() == ["space.training.lr", "space.training.epochs"]


def test_the_first_points_of_a_huge_space_come_at_once() -> None:
    values = ", ".join(str(n / 100) for n in range(1, 100))
    fields = ["lr", "weight_decay", "label_smoothing", "clip_norm"]
    training = "\n".join(f"  {field}: {{choice: [{values}]}}" for field in fields)
    space = space_of(f"model: {{dropout: {{choice: [{values}]}}, layer: {{kind: conv2d}}}}\ntraining:\n{training}")
    assert space.size() == 99**5
    assert next(space.points())["space.training.clip_norm"] == 0.01


def test_options_of_one_kind_are_told_apart_by_number() -> None:
    text = "model: {layer: {any_of: [{kind: convnn, k: 4}, {kind: conv2d}, {kind: convnn, k: {choice: [1, 2]}}]}}"
    paths = {leaf.path: leaf.domain for leaf in space_of(text).domains()}
    assert paths == {
        "space.model.layer": Choice(("convnn#1", "conv2d", "convnn#3")),
        "space.model.layer[convnn#3].k": Choice((1, 2)),
    }


def test_an_any_of_may_hold_an_any_of_and_stand_at_the_root() -> None:
    text = "any_of: [{model: {layer: {any_of: [{any_of: [{kind: conv2d}, {kind: convnn}]}]}}}]"
    trials = [space_of(text).resolve(Decided(point)) for point in space_of(text).points()]
    assert [trial.model.mixing_layer.model_dump()["kind"] for trial in trials] == ["conv2d", "convnn"]


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("epochs: {int: [1, 10]}", IntRange(1, 10)),
        ("epochs: {int: [1, 10], step: 4}", IntRange(1, 9, step=4)),
        ("epochs: {int: [1, 10], log: true}", IntRange(1, 10, log=True)),
        ("lr: {uniform: [0.1, 1]}", FloatRange(0.1, 1.0)),
        ("lr: {log_uniform: [1e-4, 1]}", FloatRange(1e-4, 1.0, log=True)),
        ("clip_norm: {choice: [null, 1]}", Choice((None, 1))),
        ("weight_decay: {uniform: [-0.0, 1e-2]}", FloatRange(0.0, 0.01)),
    ],
)
def test_a_domain_is_what_the_file_says(text: str, domain: object) -> None:
    (leaf,) = space_of(f"model: {{layer: {{kind: conv2d}}}}\ntraining: {{{text}}}").domains()
    assert leaf.domain == domain


def test_values_are_asked_by_path_across_branches_defaults_included() -> None:
    text = "{}\nmodel: {{layer: {{kind: conv2d}}}}"
    assert space_of(text.format("training: {epochs: {choice: [3, 5]}}")).values("training.epochs", 150) == [3, 5]
    assert space_of(text.format("data: {}")).values("training.epochs", 150) == [150]
    branch = "training: {any_of: [{epochs: 7}, {lr: 0.1}]}"
    assert space_of(text.format(branch)).values("training.epochs", 150) == [7, 150]


def test_the_data_sets_of_a_space_are_listed_once() -> None:
    text = "any_of: [{data: {name: {choice: [cifar10, digits]}}, model: &m {layer: {kind: conv2d}}}, {model: *m}]"
    assert [data.name for data in space_of(text).data_sets()] == ["cifar10", "digits"]


def within(value: object, domain: object) -> bool:
    if isinstance(domain, Choice):
        return value in domain.values
    assert isinstance(domain, IntRange | FloatRange)
    assert isinstance(value, int | float)
    on_grid = (value - domain.low) % domain.step == 0 if isinstance(domain, IntRange) else True
    return domain.low <= value <= domain.high and on_grid


@settings(fixed, max_examples=80)
@given(spaces(), st.integers(0, 2**32))
def test_a_draw_lies_in_the_space_and_is_a_trial(tree: Any, seed: int) -> None:
    space = space_of(dumped(tree))
    decisions = space.draw(random.Random(seed))
    found = {leaf.path: leaf.domain for leaf in space.domains()}
    assert all(within(value, found[path]) for path, value in decisions.items())
    assert isinstance(space.resolve(Decided(decisions)), TrialConfig)
    assert space.draw(random.Random(seed)) == decisions


@settings(fixed, max_examples=50)
@given(spaces())
def test_a_finite_space_has_as_many_points_as_its_size_and_no_point_twice(tree: Any) -> None:
    space = space_of(dumped(tree))
    size = space.size()
    if size is None or size > 3000:
        return
    points = [tuple(point.items()) for point in space.points()]
    assert len(points) == len(set(points)) == size


@settings(fixed, max_examples=100)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.booleans(), st.integers(0, 99))
def test_a_whole_range_is_drawn_and_exemplified_within_its_ends(low: int, width: int, log: bool, seed: int) -> None:
    domain = IntRange(low, low + width, log=log)
    assert within(domain.draw(random.Random(seed)), domain)
    examples = domain.examples()
    assert (examples[0], examples[-1]) == (low, low + width)
    assert all(within(value, domain) for value in examples)


def test_a_logarithmic_range_draws_each_decade_alike() -> None:
    rng = random.Random(0)
    decades = [math.floor(math.log10(FloatRange(1e-4, 1e-1, log=True).draw(rng))) for _ in range(3000)]
    assert all(900 < decades.count(decade) < 1100 for decade in (-4, -3, -2))


def every_int(tree: Any) -> Any:
    """The same space with its int ranges written out."""
    if isinstance(tree, list):
        return [every_int(item) for item in tree]
    if not isinstance(tree, dict):
        return tree
    if "int" in tree:
        return {"choice": list(range(tree["int"][0], tree["int"][1] + 1))}
    return {name: every_int(value) for name, value in tree.items()}


small = models(
    domains, lambda options: options | st.lists(options, min_size=2, max_size=2).map(lambda o: {"any_of": o}), ()
)


@settings(fixed, max_examples=100)
@given(small)
def test_a_space_is_refused_if_and_only_if_no_point_can_run(model: Any) -> None:
    whole = space_of(dumped({"model": every_int(model)}))
    size = whole.size()
    if size is None or size > 2000:
        return
    points = [(point, next(infeasibilities(whole.resolve(Decided(point))), None)) for point in whole.points()]
    runs = {item for point, obstacle in points if obstacle is None for item in point.items()}
    problems = space_of(dumped({"model": model})).check()
    if runs or all(obstacle is None for _, obstacle in points):
        assert not any(" must be" in problem.message and "never" not in problem.message for problem in problems)
        blamed = [problem.path for problem in problems]
        dead = [
            (leaf.path, value)
            for leaf in space_of(dumped({"model": model})).domains()
            if isinstance(leaf.domain, Choice)
            for value in leaf.domain.values
            if (leaf.path, value) not in runs and any((leaf.path, value) in point.items() for point, _ in points)
        ]
        for path, value in dead:  # said of the value, or of the branch above it
            assert any(f"{path}[{value}]".startswith(at) or path == at for at in blamed)
        assert bool(dead) == bool(blamed)
    else:
        assert len(problems) == 1


def test_a_range_of_r_is_not_refused_for_want_of_a_lucky_draw() -> None:
    candidates = "{kind: random, r: {int: [5, 500]}}"  # of these only 14, 15 and 16 can run
    text = f"name: a\nspace: {{model: {{layer: {{kind: convnn, k: 14, candidates: {candidates}}}}}}}"
    assert parse_sweep(f"{text}\nsearch: {{sampler: tpe, trials: 3}}").name == "a"


def test_the_geometry_is_seen_below_an_any_of_of_whole_models() -> None:
    text = "model: {any_of: [{layer: {kind: convnn, k: {choice: [9, 100]}}}]}"
    (problem,) = space_of(text).check()
    assert problem.path == "space.model[option].layer.k"
    assert problem.message.startswith("lists 100, which can never run: it must be at most 16 for conv7")


def test_a_space_of_many_listed_values_is_judged_at_once() -> None:
    listed = ", ".join(map(str, range(1, 2001)))
    text = f"model: {{layer: {{kind: convnn, k: {{choice: [{listed}]}}, candidates: {{any_of: [{{kind: all}}]}}}}}}"
    assert len(space_of(text).check()) == 2000 - 16


@settings(fixed, max_examples=40)
@given(spaces())
def test_pairs_of_values_that_never_run_together_are_those_that_every_point_shows(tree: Any) -> None:
    space = space_of(dumped(tree))
    if space.continuous() or (space.size() or 0) > 3000:
        return
    together: dict[tuple[str, Any, str, Any], bool] = {}
    alone: dict[tuple[str, Any], bool] = {}
    for point in space.points():
        runs = not any(infeasibilities(space.resolve(Decided(point))))
        items = [(path, value) for path, value in point.items() if path.startswith("space.model")]
        for item in items:
            alone[item] = alone.get(item, False) or runs
        for one, other in itertools.combinations(items, 2):
            together[*one, *other] = together.get((*one, *other), False) or runs
    dead = {pair for pair, runs in together.items() if not runs and alone[pair[:2]] and alone[pair[2:]]}
    said = space.dead_pairs()
    assert bool(said) == bool(dead)
    assert sum(text.partition(" with ")[0].count(",") + 1 for text in said) == len(dead)


def test_a_pair_that_never_runs_is_named_with_its_reason() -> None:
    layer = "{kind: convnn, k: {choice: [4, 9, 12]}, patch: {choice: [1, 2]}}"
    spec = parse_sweep(f"name: a\nspace: {{model: {{layer: {layer}}}}}")
    (pair,) = spec.space.dead_pairs()
    assert pair == (
        "k = 12 with patch = 2 cannot run: space.model.layer.k must be at most 9 for conv7 "
        "(1 x 1 tokens, ring 1: 9 candidates)"
    )
