from typing import Any

from hypothesis import given, settings

from search_spaces import Choice, Decided
from search_spaces.reading.document import dumped
from tests.search_spaces.read import space_of
from tests.search_spaces.strategies import fixed, spaces

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


def test_a_finite_space_is_enumerated_in_file_order_with_the_last_domain_fastest() -> None:
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


def test_the_first_points_of_a_huge_space_come_immediately() -> None:
    values = ", ".join(str(n / 100) for n in range(1, 100))
    fields = ["lr", "weight_decay", "label_smoothing", "clip_norm"]
    training = "\n".join(f"  {field}: {{choice: [{values}]}}" for field in fields)
    space = space_of(f"model: {{dropout: {{choice: [{values}]}}, layer: {{kind: conv2d}}}}\ntraining:\n{training}")
    assert space.size() == 99**5
    assert next(space.points())["space.training.clip_norm"] == 0.01


def test_options_of_one_kind_are_distinguished_by_number() -> None:
    text = "model: {layer: {any_of: [{kind: convnn, k: 4}, {kind: conv2d}, {kind: convnn, k: {choice: [1, 2]}}]}}"
    paths = {leaf.path: leaf.domain for leaf in space_of(text).domains()}
    assert paths == {
        "space.model.layer": Choice(("convnn#1", "conv2d", "convnn#3")),
        "space.model.layer[convnn#3].k": Choice((1, 2)),
    }


def test_an_any_of_may_be_nested_and_at_the_root() -> None:
    text = "any_of: [{model: {layer: {any_of: [{any_of: [{kind: conv2d}, {kind: convnn}]}]}}}]"
    trials = [space_of(text).resolve(Decided(point)) for point in space_of(text).points()]
    assert [trial.model.mixing_layer.model_dump()["kind"] for trial in trials] == ["conv2d", "convnn"]


@settings(fixed, max_examples=50)
@given(spaces())
def test_a_finite_space_has_as_many_distinct_points_as_its_size(tree: Any) -> None:
    space = space_of(dumped(tree))
    size = space.size()
    if size is None or size > 3000:
        return
    points = [tuple(point.items()) for point in space.points()]
    assert len(points) == len(set(points)) == size
