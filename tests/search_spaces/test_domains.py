import math
import random
from collections.abc import Callable, Sequence
from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from search_spaces import Choice, Domain, FloatRange, IntRange
from search_spaces.domains import Scalar, every, largest, largest_up_to, null_or_not, smallest
from tests.search_spaces.strategies import fixed


def within(value: object, domain: object) -> bool:
    if isinstance(domain, Choice):
        return value in domain.values
    assert isinstance(domain, IntRange | FloatRange)
    assert isinstance(value, int | float)
    on_grid = (value - domain.low) % domain.step == 0 if isinstance(domain, IntRange) else True
    return domain.low <= value <= domain.high and on_grid


@settings(fixed, max_examples=100)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.booleans(), st.integers(0, 99))
def test_draws_and_examples_of_an_integer_range_lie_within_its_ends(low: int, width: int, log: bool, seed: int) -> None:
    domain = IntRange(low, low + width, log=log)
    assert within(domain.draw(random.Random(seed)), domain)
    examples = domain.examples()
    assert (examples[0], examples[-1]) == (low, low + width)
    assert all(within(value, domain) for value in examples)


def test_a_logarithmic_range_draws_each_decade_equally_often() -> None:
    rng = random.Random(0)
    decades = [math.floor(math.log10(FloatRange(1e-4, 1e-1, log=True).draw(rng))) for _ in range(3000)]
    assert all(900 < decades.count(decade) < 1100 for decade in (-4, -3, -2))


@pytest.mark.parametrize(
    ("values", "domain", "expected"),
    [
        (smallest, Choice((4, 2, 9)), (2,)),
        (smallest, FloatRange(0.25, 0.5), (0.25,)),
        (largest, IntRange(1, 9), (9,)),
        (every, Choice(("error", "all")), ("error", "all")),
        (every, IntRange(2, 9, step=3), (2, 5, 8)),
        (null_or_not, Choice((None, 1.0, 2.0)), (None, 2.0)),
        (null_or_not, FloatRange(0.5, 1.0), (1.0,)),
        (partial(largest_up_to, {4, 16, 100}), IntRange(2, 47, step=5), (2, 12, 47)),
        (partial(largest_up_to, {4, 16}), Choice((5, 9, 300)), (9, 300)),
        (partial(largest_up_to, {4}), IntRange(5, 9), (9,)),
    ],
)
def test_a_domain_is_represented_by_its_decisive_values(
    values: Callable[[Domain], Sequence[Scalar]], domain: Domain, expected: tuple[Scalar, ...]
) -> None:
    assert tuple(values(domain)) == expected
