import itertools
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Choice, Decided, infeasibilities, parse_sweep
from search_spaces.reading.document import dumped
from tests.search_spaces.read import space_of
from tests.search_spaces.strategies import domains, fixed, models, spaces


def every_int(tree: Any) -> Any:
    """Return the space with its int ranges written as lists."""
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
def test_a_space_is_rejected_if_and_only_if_no_point_can_run(model: Any) -> None:
    whole = space_of(dumped({"model": every_int(model)}))
    size = whole.size()
    if size is None or size > 2000:
        return
    points = [(point, next(infeasibilities(whole.resolve(Decided(point))), None)) for point in whole.points()]
    runs = {item for point, reason in points if reason is None for item in point.items()}
    problems = space_of(dumped({"model": model})).check()
    if runs or all(reason is None for _, reason in points):
        assert not any(" must be" in problem.message and "never" not in problem.message for problem in problems)
        blamed = [problem.path for problem in problems]
        dead = [
            (leaf.path, value)
            for leaf in space_of(dumped({"model": model})).domains()
            if isinstance(leaf.domain, Choice)
            for value in leaf.domain.values
            if (leaf.path, value) not in runs and any((leaf.path, value) in point.items() for point, _ in points)
        ]
        for path, value in dead:  # reported for the value, or for the branch above it
            assert any(f"{path}[{value}]".startswith(at) or path == at for at in blamed)
        assert bool(dead) == bool(blamed)
    else:
        assert len(problems) == 1


def test_a_range_of_r_is_not_rejected_because_few_values_can_run() -> None:
    candidates = "{kind: random, r: {int: [5, 500]}}"  # only 14, 15 and 16 can run
    text = f"name: a\nspace: {{model: {{layer: {{kind: convnn, k: 14, candidates: {candidates}}}}}}}"
    assert parse_sweep(f"{text}\nsearch: {{sampler: tpe, trials: 3}}").name == "a"


def test_the_geometry_is_checked_below_an_any_of_of_whole_models() -> None:
    text = "model: {any_of: [{layer: {kind: convnn, k: {choice: [9, 100]}}}]}"
    (problem,) = space_of(text).check()
    assert problem.path == "space.model[option].layer.k"
    assert problem.message.startswith("lists 100, which can never run: it must be at most 16 for conv7")


def test_a_space_of_many_listed_values_is_checked_quickly() -> None:
    listed = ", ".join(map(str, range(1, 2001)))
    text = f"model: {{layer: {{kind: convnn, k: {{choice: [{listed}]}}, candidates: {{any_of: [{{kind: all}}]}}}}}}"
    assert len(space_of(text).check()) == 2000 - 16


@settings(fixed, max_examples=40)
@given(spaces())
def test_pairs_that_never_run_together_match_an_exhaustive_search(tree: Any) -> None:
    space = space_of(dumped(tree))
    lists = all(isinstance(leaf.domain, Choice) for leaf in space.domains())
    if not lists or (space.size() or 0) > 3000:
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
