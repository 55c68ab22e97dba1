import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Choice, Decided, FloatRange, IntRange, TrialConfig
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
    assert space.continuous() == ["space.training.lr"]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        ("{int: [4, 12]}", list(range(4, 13))),
        ("{int: [0, 10], step: 4}", [0, 4, 8]),
        ("{int: [3, 9], log: true}", list(range(3, 10))),
    ],
)
def test_a_range_of_whole_numbers_is_as_finite_as_a_list(text: str, values: list[int]) -> None:
    listed, ranged = (
        space_of(f"model: {{layer: {{kind: conv2d}}}}\ntraining: {{seed: {domain}, epochs: {{choice: [1, 2]}}}}")
        for domain in (f"{{choice: {values}}}", text)
    )
    assert list(ranged.points()) == list(listed.points())
    assert (ranged.continuous(), ranged.is_small()) == ([], True)
    assert ranged.size() == ranged.distinct() == 2 * len(values)


def test_a_finite_space_of_billions_is_not_enumerated() -> None:
    space = space_of("model: {layer: {kind: conv2d}}\ntraining: {seed: {int: [0, 2000000000]}}")
    assert (space.size(), space.is_small(), space.distinct()) == (2_000_000_001, False, None)
    assert next(space.points()) == {"space.training.seed": 0}


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
def test_a_domain_is_read_from_the_file(text: str, domain: object) -> None:
    (leaf,) = space_of(f"model: {{layer: {{kind: conv2d}}}}\ntraining: {{{text}}}").domains()
    assert leaf.domain == domain


def test_values_are_found_by_path_across_branches_including_defaults() -> None:
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
