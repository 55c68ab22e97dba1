"""The domains that a leaf of a space may have instead of a value: `choice`, `int`, `uniform` or `log_uniform`.

`choice` and `int` are finite. A grid takes only finite domains.
"""

import math
import random
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, TypeAlias

Scalar: TypeAlias = bool | int | float | str | None


@dataclass(frozen=True)
class Choice:
    """One of the listed values."""

    values: tuple[Scalar, ...]

    def draw(self, rng: random.Random) -> Scalar:
        """Draw one value, all with the same probability."""
        return rng.choice(self.values)

    def examples(self) -> tuple[Scalar, ...]:
        """Return every value."""
        return self.values


@dataclass(frozen=True)
class IntRange:
    """An integer from `low` to `high`, both included, in steps of `step`, uniform in value or in logarithm."""

    low: int
    high: int
    log: bool = False
    step: int = 1
    missed: int | None = field(default=None, compare=False)
    """The upper end as written in the file, if no step reaches it."""

    def draw(self, rng: random.Random) -> int:
        """Draw one number of the range."""
        if self.log:
            return min(self.high, max(self.low, round(math.exp(rng.uniform(math.log(self.low), math.log(self.high))))))
        return rng.randrange(self.low, self.high + 1, self.step)

    def examples(self) -> tuple[Scalar, ...]:
        """Return the ends and a few numbers between, evenly spread in logarithm if the range is positive."""
        count = 7
        if self.high - self.low < count * self.step:
            return tuple(range(self.low, self.high + 1, self.step))
        if self.low > 0:
            spread = [self.low * (self.high / self.low) ** (i / (count - 1)) for i in range(count)]
        else:
            spread = [self.low + (self.high - self.low) * i / (count - 1) for i in range(count)]
        return tuple(sorted({self.low + round((x - self.low) / self.step) * self.step for x in spread}))


@dataclass(frozen=True)
class FloatRange:
    """A real number from `low` to `high`, uniform in value (`uniform`) or in logarithm (`log_uniform`)."""

    low: float
    high: float
    log: bool = False

    def draw(self, rng: random.Random) -> float:
        """Draw one number of the range."""
        if self.log:
            return min(self.high, max(self.low, math.exp(rng.uniform(math.log(self.low), math.log(self.high)))))
        return rng.uniform(self.low, self.high)

    def examples(self) -> tuple[Scalar, ...]:
        """Return the two ends."""
        return (self.low, self.high)


Domain: TypeAlias = Choice | IntRange | FloatRange

DOMAIN_KEYS = ("choice", "int", "uniform", "log_uniform")


def as_written(domain: Domain) -> dict[str, Any]:
    """Return the domain in the normal form of a sweep file."""
    if isinstance(domain, Choice):
        return {"choice": list(domain.values)}
    bounds = [domain.low, domain.high]
    if isinstance(domain, FloatRange):
        return {"log_uniform" if domain.log else "uniform": bounds}
    options = {"log": domain.log, "step": domain.step if domain.step > 1 else None}
    return {"int": bounds} | {name: value for name, value in options.items() if value}


def smallest(domain: Domain) -> tuple[Scalar, ...]:
    """Return the smallest value."""
    return (min(_ends(domain)),)


def largest(domain: Domain) -> tuple[Scalar, ...]:
    """Return the largest value."""
    return (max(_ends(domain)),)


def is_finite(domain: Domain) -> bool:
    """Return whether the domain has finitely many values."""
    return not isinstance(domain, FloatRange)


def every(domain: Domain) -> Sequence[Scalar]:
    """Return every value of a finite domain, possibly billions."""
    assert not isinstance(domain, FloatRange)
    return domain.values if isinstance(domain, Choice) else range(domain.low, domain.high + 1, domain.step)


def count(domain: Domain) -> int:
    """Return the number of values of a finite domain."""
    assert not isinstance(domain, FloatRange)
    return len(domain.values) if isinstance(domain, Choice) else (domain.high - domain.low) // domain.step + 1


def null_or_not(domain: Domain) -> tuple[Scalar, ...]:
    """Return one value that is null and one that is not, if the domain has them."""
    return tuple({value is None: value for value in _ends(domain)}.values())


def largest_up_to(limits: Collection[int], domain: Domain) -> tuple[Scalar, ...]:
    """Return the largest integer up to each limit, and the largest of all."""
    found = {_largest(domain, limit) for limit in (*limits, max(_ends(domain)))}
    return tuple(sorted(value for value in found if value is not None))


def _largest(domain: Domain, limit: int) -> int | None:
    if isinstance(domain, IntRange):
        return None if limit < domain.low else min(domain.high, limit - (limit - domain.low) % domain.step)
    return max((value for value in _ends(domain) if isinstance(value, int) and value <= limit), default=None)


def _ends(domain: Domain) -> tuple[Any, ...]:
    return domain.values if isinstance(domain, Choice) else (domain.low, domain.high)


class Chooser(Protocol):
    """The source of decisions: a sampler, a grid, or a record of earlier decisions."""

    def choose(self, path: str, domain: Domain) -> Scalar:
        """Return the value of the leaf, or the label of the branch, at `path`."""
