"""Rules between the fields of a space, such as `k <= r`: the fields they use, and whether a trial satisfies them.

A field is written as its full path, or as the last part of the path if no configuration has two fields of that name.
"""

import itertools
import math
import operator
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import NamedTuple, TypeAlias, TypeVar, get_args

from pydantic import BaseModel
from pydantic.fields import FieldInfo
from yaml.nodes import Node, ScalarNode, SequenceNode

from search_spaces.base import Infeasible
from search_spaces.reading.document import MOST_PROBLEMS, Place, Problem, value_of
from search_spaces.reading.fields import (
    discriminator_of,
    fields_of,
    mistakes_in,
    models_by_kind,
    models_of,
    uses_some_fields,
)
from search_spaces.reading.likeness import close, nearest
from search_spaces.reading.rules import ConstraintError, Name, Number, Step, parse_rule
from search_spaces.reading.words import quoted, shown
from search_spaces.registry import generation
from search_spaces.trial import TrialConfig

MOST_RULES = 1000
"""Largest number of rules in a file; every trial is checked against each of them."""

Values: TypeAlias = dict[str, Number | None]
Ranges: TypeAlias = tuple[tuple[str, frozenset[str]], ...]
"""The ranges of layers in a file, each with the kinds that it may have; no kinds if they are not known."""

_STEPS_OF_A_RULE = 5


@dataclass(frozen=True)
class Constraint:
    """A comparison, or a chain of comparisons, that every trial has to satisfy."""

    text: str
    sides: tuple[tuple[Step, ...], ...]
    signs: tuple[str, ...]

    @cached_property
    def names(self) -> list[Name]:
        """The fields that the rule uses, each once, in order of appearance."""
        return list(dict.fromkeys(step for side in self.sides for step in side if isinstance(step, Name)))

    @property
    def steps(self) -> int:
        """The cost of checking one trial, in operations."""
        return _STEPS_OF_A_RULE + sum(map(len, self.sides))

    def normal(self) -> str:
        """Return the rule in a normal form, independent of spaces, brackets, and the spelling of numbers and fields."""
        sides = [_computed(side, _as_text, _infix).text for side in self.sides]
        return " ".join([sides[0], *(f"{sign} {side}" for sign, side in zip(self.signs, sides[1:], strict=True))])

    def broken(self, trial: TrialConfig, values: "Values | None" = None) -> str | None:
        """Return how `trial` breaks the rule; `None` if it does not, or if it lacks a field of the rule.

        `values` caches the trial's values by name. Missing ones are added.
        """
        known = {} if values is None else values
        for name in self.names:
            if name.text not in known:
                known[name.text] = name.value(trial)
            if known[name.text] is None:
                return None

        def number(step: Number | Name) -> Number:
            value = known[step.text] if isinstance(step, Name) else step
            assert value is not None
            return value

        try:
            wrong = None if self._holds(number) else ""
        except ZeroDivisionError:
            wrong = "division by zero where "
        except OverflowError:
            wrong = "a result too large to compute where "
        return None if wrong is None else wrong + ", ".join(f"{name.text} = {known[name.text]}" for name in self.names)

    def _holds(self, number: Callable[[Number | Name], Number]) -> bool:
        left = _computed(self.sides[0], number, _combined)
        for sign, side in zip(self.signs, self.sides[1:], strict=True):
            right = _computed(side, number, _combined)
            if not _SIGNS[sign](left, right):
                return False
            left = right
        return True

    def always(self) -> bool:
        """Return whether a rule without fields holds."""

        def number(step: Number | Name) -> Number:
            assert not isinstance(step, Name)
            return step

        try:
            return self._holds(number)
        except ArithmeticError:
            return False

    def impossible(self, low: TrialConfig, high: TrialConfig) -> str | None:
        """Return why no trial with fields between those of `low` and `high` satisfies the rule; `None` if one may."""
        bounds = {name: _between(name.value(low), name.value(high)) for name in self.names}
        if None in bounds.values():
            return None

        def span(step: Number | Name) -> _Span:
            found = bounds[step] if isinstance(step, Name) else _Span(step, step)
            assert found is not None
            return found

        try:
            sides = [_computed(side, span, _spanned) for side in self.sides]
        except ArithmeticError:
            return None
        if not any(_never(left, sign, right) for left, sign, right in zip(sides, self.signs, sides[1:], strict=False)):
            return None
        return ", ".join(f"{name.text} = {found}" for name, found in bounds.items())


def broken(constraints: Sequence[Constraint], trial: TrialConfig) -> Iterator[Infeasible]:
    """Yield the rules that `trial` breaks, each with the values that break it."""
    values: Values = {}
    for number, rule in enumerate(constraints):
        if (reason := rule.broken(trial, values)) is not None:
            yield Infeasible(f"constraints.{number}", f"{rule.text} does not hold: {reason}")


def read_constraints(node: Node | None, ranges: Ranges = ()) -> tuple[tuple[Constraint, ...], list[Problem]]:
    """Return the rules at `node`, and every mistake in them; `ranges` are the file's ranges of layers by depth."""
    if node is None:
        return (), []
    if not isinstance(node, SequenceNode):
        way = f"[{node.value}]" if isinstance(node, ScalarNode) and isinstance(value_of(node), str) else "[k <= r]"
        rule = f"must be a list of rules, got {shown(node)}; write constraints: {way}, or leave it out."
        return (), [Problem(Place.of(node), "constraints", rule)]
    if len(node.value) > MOST_RULES:
        rule = f"must be at most {MOST_RULES:,} rules, got {len(node.value):,}"
        way = "one rule may chain several comparisons, as in 1 < k < 9"
        return (), [Problem(Place.of(node), "constraints", f"{rule}; {way}.")]
    rules: list[Constraint] = []
    problems: list[Problem] = []
    for number, item in enumerate(node.value):
        if len(problems) >= MOST_PROBLEMS:
            break
        place, path = Place.of(item), f"constraints.{number}"
        if not isinstance(item, ScalarNode) or value_of(item) is None:
            rule = f"must be a rule such as k <= r, got {shown(item)}; write it as text on one line."
            problems.append(Problem(place, path, rule))
            continue
        try:
            rules.append(parse_constraint(item.value, ranges=ranges))
        except ConstraintError as error:
            problems += [Problem(place, path, message) for message in error.messages]
    return tuple(rules), problems


def parse_constraint(text: str, model: type[BaseModel] = TrialConfig, ranges: Ranges = ()) -> Constraint:
    """Parse one rule about the fields of `model`; of the layers by depth, only `ranges` have fields.

    Raises:
        ConstraintError: If it is not a comparison, or not about numbers of `model`; lists every mistake.
    """
    sides, signs = parse_rule(text)
    unknown = dict.fromkeys(step.text for side in sides for step in side if isinstance(step, Name))
    found = {name: _found(name, model, ranges) for name in unknown}
    messages = [wrong for wrong in found.values() if isinstance(wrong, str)]
    if not signs:
        rule = f"must compare two sides, got {quoted(text)}"
        messages.append(f"{rule}; put one of {' '.join(_SIGNS)} between them, as in k <= r.")
    if messages:
        raise ConstraintError(*messages)
    fields = {name: field for name, field in found.items() if isinstance(field, Name)}
    named = tuple(tuple(fields[step.text] if isinstance(step, Name) else step for step in side) for side in sides)
    constraint = Constraint(" ".join(text.split()), named, tuple(signs))
    if not fields:
        always = "true" if constraint.always() else "false"
        raise ConstraintError(f"must be about a field, got {quoted(text)}, which is always {always}; leave it out.")
    return constraint


T = TypeVar("T")

_SIGNS: dict[str, Callable[[Number, Number], bool]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
}
_OPERATIONS: dict[str, Callable[[Number, Number], Number]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
}


def _computed(steps: Sequence[Step], known: Callable[[Number | Name], T], combine: Callable[[str, T, T], T]) -> T:
    stack: list[T] = []
    for step in steps:
        if isinstance(step, str):
            right, left = stack.pop(), stack.pop()
            stack.append(combine(step, left, right))
        else:
            stack.append(known(step))
    (result,) = stack
    return result


def _combined(sign: str, left: Number, right: Number) -> Number:
    result = _OPERATIONS[sign](left, right)
    if isinstance(result, float) and not math.isfinite(result):
        raise OverflowError
    return result


class _Text(NamedTuple):
    text: str
    binding: int
    """1 for a sum, 2 for a product, 3 for a term that never needs brackets."""


def _as_text(step: Number | Name) -> _Text:
    return _Text(step.path if isinstance(step, Name) else repr(float(step)).removesuffix(".0"), 3)


def _infix(sign: str, left: _Text, right: _Text) -> _Text:
    binding = 1 if sign in "+-" else 2
    first = f"({left.text})" if left.binding < binding else left.text
    second = f"({right.text})" if right.binding <= binding else right.text
    return _Text(f"{first} {sign} {second}", binding)


class _Span(NamedTuple):
    low: Number
    high: Number

    def __str__(self) -> str:
        return f"{self.low}" if self.low == self.high else f"{self.low} to {self.high}"


def _between(low: Number | None, high: Number | None) -> _Span | None:
    return None if low is None or high is None else _Span(low, high)


def _spanned(sign: str, left: _Span, right: _Span) -> _Span:
    if sign == "/" and right.low <= 0 <= right.high:
        raise ZeroDivisionError
    ends = [_combined(sign, *pair) for pair in itertools.product(left, right)]  # rounding preserves order
    return _Span(min(ends), max(ends))


def _never(left: _Span, sign: str, right: _Span) -> bool:
    """Return whether `sign` holds for no pair of numbers from `left` and `right`."""
    if sign == "==":
        return left.high < right.low or right.high < left.low
    if sign == "!=":
        return left.low == left.high == right.low == right.high
    ends = (left.low, right.high) if sign in ("<", "<=") else (left.high, right.low)
    return not _SIGNS[sign](*ends)


class _Field(NamedTuple):
    attributes: tuple[str, ...]
    is_number: bool


@cache
def _fields(model: type[BaseModel], ranges: Ranges, _generation: int) -> dict[str, _Field]:
    """Return the fields by path, with only these ranges of layers; cached until another kind is registered."""
    found: dict[str, _Field] = {}
    kinds = dict(ranges) if uses_some_fields(model) else dict.fromkeys(fields_of(model), frozenset[str]())
    for name, info in fields_of(model).items():
        if name not in kinds:
            continue
        attribute = next(own for own, other in model.model_fields.items() if other is info)
        below = _models_of(info, kinds[name])
        if not below:
            is_number = bool({int, float} & {info.annotation, *get_args(info.annotation)})
            found[name] = _Field((attribute,), is_number)
        for kind in below:
            for path, field in _fields(kind, ranges, _generation).items():
                found[f"{name}.{path}"] = _Field((attribute, *field.attributes), field.is_number)
    return found


def _models_of(info: FieldInfo, kinds: frozenset[str]) -> tuple[type[BaseModel], ...]:
    """Return the models that a field may hold: those of these kinds, or all if none is known."""
    below, key = models_of(info)[0], discriminator_of(info)
    known = models_by_kind(below, key) if key and kinds else {}
    return tuple(known[kind] for kind in sorted(kinds & known.keys())) or below


def _together(one: str, other: str, model: type[BaseModel]) -> bool:
    """Return whether a configuration may have the fields at both paths."""
    (first, _, rest), (second, _, others) = one.partition("."), other.partition(".")
    if first != second:
        both = {first, second} <= fields_of(model).keys()
        return both and not mistakes_in(model, (first, second)).keys() & {first, second}
    info = fields_of(model).get(first)
    return info is not None and any(_together(rest, others, kind) for kind in models_of(info)[0])


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _found(name: str, model: type[BaseModel], ranges: Ranges) -> Name | str:
    """Return the field with that name, or a message about the mistake."""
    known_kinds = ranges if "." not in name else tuple((each, frozenset[str]()) for each, _ in ranges)
    fields = _fields(model, known_kinds, generation())
    path = name.removeprefix("space.")
    paths = [path] if path in fields else [] if "." in name else [known for known in fields if _last(known) == name]
    if not paths:
        return f"names {quoted(name)}, which is not a field; {_hint(path, fields)}"
    is_number = any(fields[known].is_number for known in paths)
    pairs = [pair for pair in itertools.combinations(paths, 2) if _together(*pair, model)]
    if pairs:
        way = "write the full path." if is_number else "none of them is a number, and a rule compares numbers."
        return f"names {name}, which may be {' or '.join(sorted({*itertools.chain(*pairs)}))}; {way}"
    if not is_number:
        return (
            f"names {name}, which is not a number; a rule compares numbers; list values that belong together in any_of."
        )
    attributes = tuple(dict.fromkeys(fields[known].attributes for known in paths))
    return Name(name, attributes, paths[0] if len(attributes) == 1 else name)


def _hint(path: str, fields: dict[str, _Field]) -> str:
    numbers = [known for known, field in fields.items() if field.is_number]
    lasts = sorted({_last(known) for known in numbers})
    if "." in path:
        by_last = [known for known in numbers if _last(known) == _last(path)]
        if meant := close(path, by_last) or close(path, numbers):
            return f"did you mean {meant!r}?"
    return nearest(_last(path), lasts)
