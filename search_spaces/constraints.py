"""Rules between the fields of a space, such as `k <= r`: read from text by a parser of our own, never run as code.

    rule   = sum sign sum {sign sum}             sign: < <= > >= == !=
    sum    = term {("+" | "-") term}
    term   = factor {("*" | "/") factor}
    factor = ("+" | "-") factor | number | field | "(" sum ")"

A field is its full path, or the last part of it where no configuration has two fields of that name.
"""

import itertools
import math
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import NamedTuple, NoReturn, TypeAlias, TypeVar, get_args

from pydantic import BaseModel
from yaml.nodes import Node, ScalarNode, SequenceNode

from search_spaces.feasibility import Obstacle
from search_spaces.reading.document import Place, Problem, close, nearest, plain, value_of
from search_spaces.reading.fields import models_of
from search_spaces.reading.reader import LONGEST_SHOWN, shown
from search_spaces.trial import TrialConfig

LONGEST_RULE = 500
"""Characters of a rule."""

DEEPEST = 40
"""Parentheses and leading signs of a rule inside each other."""

Number: TypeAlias = int | float


@dataclass(frozen=True)
class Name:
    """A field as a rule names it, and the attributes that lead to it; several where models call it alike."""

    text: str
    attributes: tuple[tuple[str, ...], ...]
    path: str = ""
    """The field's full path; `text` where models call several alike."""

    def value(self, trial: TrialConfig) -> Number | None:
        """The field's number; `None` where `trial` has no such field, or null."""
        for attributes in self.attributes:
            found: object = trial
            for attribute in attributes:
                found = getattr(found, attribute, None)
            if isinstance(found, int | float):
                return found
        return None


Step: TypeAlias = Number | Name | str
"""A part of a sum in postfix order, which takes no recursion to compute: `k * 2` is k, 2, "*"."""


@dataclass(frozen=True)
class Constraint:
    """A comparison, or a chain of them, that every trial has to satisfy."""

    text: str
    sides: tuple[tuple[Step, ...], ...]
    signs: tuple[str, ...]

    @property
    def names(self) -> list[Name]:
        """The fields that the rule is about, each once, in its order."""
        return list(dict.fromkeys(step for side in self.sides for step in side if isinstance(step, Name)))

    def normal(self) -> str:
        """The rule's text, the same however its spaces, brackets, numbers and fields are written."""
        sides = [_computed(side, _as_text, _infix).text for side in self.sides]
        return " ".join([sides[0], *(f"{sign} {side}" for sign, side in zip(self.signs, sides[1:], strict=True))])

    def broken(self, trial: TrialConfig) -> str | None:
        """How `trial` breaks the rule; `None` if it does not, also where it lacks a field of the rule."""
        values = {name: name.value(trial) for name in self.names}
        if None in values.values():
            return None
        known = ", ".join(f"{name.text} = {value}" for name, value in values.items())

        def number(step: Number | Name) -> Number:
            value = values[step] if isinstance(step, Name) else step
            assert value is not None
            return value

        try:
            return None if self._holds(number) else known
        except ZeroDivisionError:
            return f"division by zero where {known}"
        except OverflowError:
            return f"a result too large to compute where {known}"

    def _holds(self, number: Callable[[Number | Name], Number]) -> bool:
        sides = [_computed(side, number, _combined) for side in self.sides]
        pairs = zip(sides, self.signs, sides[1:], strict=False)
        return all(_SIGNS[sign](left, right) for left, sign, right in pairs)

    def always(self) -> bool:
        """Whether a rule without fields holds."""

        def number(step: Number | Name) -> Number:
            assert not isinstance(step, Name)
            return step

        try:
            return self._holds(number)
        except ArithmeticError:
            return False

    def impossible(self, low: TrialConfig, high: TrialConfig) -> str | None:
        """Why no trial whose fields lie between those of `low` and `high` satisfies the rule; `None` if one may."""
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


class ConstraintError(ValueError):
    """A rule that is none; `messages` are all its mistakes."""

    def __init__(self, *messages: str) -> None:
        super().__init__(" ".join(messages))
        self.messages = messages


def broken(constraints: Sequence[Constraint], trial: TrialConfig) -> Iterator[Obstacle]:
    """The rules that `trial` breaks, each with the values that break it."""
    for number, rule in enumerate(constraints):
        if (reason := rule.broken(trial)) is not None:
            yield Obstacle(f"constraints.{number}", f"{rule.text} is broken: {reason}")


def read_constraints(node: Node | None) -> tuple[tuple[Constraint, ...], list[Problem]]:
    """The rules that stand at `node`, and every mistake in them."""
    if node is None:
        return (), []
    if not isinstance(node, SequenceNode):
        way = f"[{node.value}]" if isinstance(node, ScalarNode) and isinstance(value_of(node), str) else "[k <= r]"
        rule = f"must be a list of rules, got {shown(node)}; write constraints: {way}, or leave it out."
        return (), [Problem(Place.of(node), "constraints", rule)]
    rules, problems = [], []
    for number, item in enumerate(node.value):
        place, path = Place.of(item), f"constraints.{number}"
        if not isinstance(item, ScalarNode) or value_of(item) is None:
            rule = f"must be a rule such as k <= r, got {shown(item)}; write it as text in one line."
            problems.append(Problem(place, path, rule))
            continue
        try:
            rules.append(parse_constraint(item.value))
        except ConstraintError as error:
            problems += [Problem(place, path, message) for message in error.messages]
    return tuple(rules), problems


def parse_constraint(text: str, model: type[BaseModel] = TrialConfig) -> Constraint:
    """Read one rule about the fields of `model`.

    Raises:
        ConstraintError: If it is no comparison, or not about numbers of `model`; with everything that is wrong.
    """
    if len(text) > LONGEST_RULE:
        rule = f"must have at most {LONGEST_RULE} characters, got {len(text)}"
        raise ConstraintError(f"{rule}; write several rules, which must all hold.")
    sides, signs = _Parser(text).rule()
    unknown = dict.fromkeys(step.text for side in sides for step in side if isinstance(step, Name))
    found = {name: _found(name, model) for name in unknown}
    messages = [wrong for wrong in found.values() if isinstance(wrong, str)]
    if not signs:
        rule = f"must compare two sides, got {_cut(text)}"
        messages.append(f"{rule}; put one of {' '.join(_SIGNS)} between them, as in k <= r.")
    if messages:
        raise ConstraintError(*messages)
    fields = {name: field for name, field in found.items() if isinstance(field, Name)}
    named = tuple(tuple(fields[step.text] if isinstance(step, Name) else step for step in side) for side in sides)
    constraint = Constraint(" ".join(text.split()), named, tuple(signs))
    if not fields:
        always = "true" if constraint.always() else "false"
        raise ConstraintError(f"must be about a field, got {_cut(text)}, which is always {always}; leave it out.")
    return constraint


def _cut(text: str) -> str:
    quoted = repr(text)
    return quoted if len(quoted) <= LONGEST_SHOWN else f"{quoted[:LONGEST_SHOWN]}..."


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
    """1 for a sum, 2 for a product, 3 for what needs no brackets anywhere."""


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
    ends = [_combined(sign, *pair) for pair in itertools.product(left, right)]  # rounding keeps their order
    return _Span(min(ends), max(ends))


def _never(left: _Span, sign: str, right: _Span) -> bool:
    """Whether `sign` holds between no number of `left` and no number of `right`."""
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
def _shapes(model: type[BaseModel]) -> list[dict[str, _Field]]:
    """The fields by path, once for each set of kinds that a configuration may have."""
    parts: list[list[dict[str, _Field]]] = []
    for attribute, info in model.model_fields.items():
        name = info.alias or attribute
        below, _ = models_of(info.annotation)
        if not below:
            is_number = bool({int, float} & {info.annotation, *get_args(info.annotation)})
            parts.append([{name: _Field((attribute,), is_number)}])
            continue
        options = [
            {f"{name}.{path}": _Field((attribute, *field.attributes), field.is_number) for path, field in shape.items()}
            for kind in below
            for shape in _shapes(kind)
        ]
        parts.append(options)
    return [{path: field for part in parted for path, field in part.items()} for parted in itertools.product(*parts)]


def _last(path: str) -> str:
    return path.rpartition(".")[2]


def _found(name: str, model: type[BaseModel]) -> Name | str:
    """The field of that name, or what is wrong with it."""
    shapes = _shapes(model)
    fields = {path: field for shape in shapes for path, field in shape.items()}
    path = name.removeprefix("space.")
    paths = [path] if path in fields else [] if "." in name else [known for known in fields if _last(known) == name]
    if not paths:
        return f"names {_cut(name)}, which is not a field; {_hint(path, fields)}"
    is_number = any(fields[known].is_number for known in paths)
    if any(len(shape.keys() & set(paths)) > 1 for shape in shapes):
        way = "write the full path." if is_number else "none of them is a number, and a rule compares numbers."
        return f"names {name}, which may be {' or '.join(sorted(paths))}; {way}"
    if not is_number:
        return f"names {name}, which is not a number; a rule compares numbers, and any_of lists what goes together."
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


class _Token(NamedTuple):
    kind: str  # number, name, sign, mark or end
    text: str
    at: int


_TOKEN = re.compile(
    r"(?P<number>(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.[A-Za-z_][A-Za-z0-9_]*)*)"
    r"|(?P<sign>[<>=!]=|[<>])"
    r"|(?P<mark>[-+*/()])"
)
_SPACE = re.compile(r"[ \t\r\n]*")

_WAYS_OUT = {
    "=": "equal is ==, at most is <=",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
    "λ": "write lambda",
    "·": "write *",
    "×": "write *",  # noqa: RUF001 - the sign is meant
    "[": "leave out what stands in brackets, a rule holds in every branch",
    "&": "write two rules, which must both hold",
    "and": "write two rules, which must both hold",
    "or": "a rule has no alternatives",
    "|": "a rule has no alternatives",
    "not": "turn the comparison round",
    "%": "a rule has + - * / only",
    "^": "a rule has + - * / only",
    "'": "a rule compares numbers only",
    '"': "a rule compares numbers only",
}


class _Parser:
    """Recursive descent, one method for each line of the grammar; each appends what it reads in postfix order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = next(self._tokens)
        self._depth = 0

    def rule(self) -> tuple[list[list[Step]], list[str]]:
        """The sides and the signs between them; one side and no sign where there is no comparison."""
        sides, signs = [self._sum()], []
        while self._next.kind == "sign":
            signs.append(self._take())
            sides.append(self._sum())
        if self._next.kind != "end":
            self._fail("an operator or a comparison")
        return sides, signs

    def _split(self) -> Iterator[_Token]:
        at = 0
        while True:
            space = _SPACE.match(self._text, at)
            at = space.end() if space else at
            if at == len(self._text):
                break
            found = _TOKEN.match(self._text, at)
            if found is None:
                yield _Token("", self._text[at], at)
                return
            yield _Token(found.lastgroup or "", found.group(), at)
            at = found.end()
        while True:
            yield _Token("end", "", at)

    def _take(self) -> str:
        text = self._next.text
        self._next = next(self._tokens)
        return text

    def _sum(self) -> list[Step]:
        return self._chain("+-", lambda: self._chain("*/", self._factor))

    def _chain(self, signs: str, part: Callable[[], list[Step]]) -> list[Step]:
        steps = part()
        while self._next.kind == "mark" and self._next.text in signs:
            sign = self._take()
            steps += [*part(), sign]
        return steps

    def _factor(self) -> list[Step]:
        kind, text, _ = self._next
        if kind == "number":
            value = plain(text)
            assert isinstance(value, int | float)
            if isinstance(value, float) and not math.isfinite(value):
                self._fail("a number that is not so large")
            self._take()
            return [value]
        if kind == "name":
            return [Name(self._take(), ())]
        if kind != "mark" or text not in ("+", "-", "("):
            self._fail("a number, a field or '('")
        if self._depth == DEEPEST:
            rule = f"nests parentheses and signs more than {DEEPEST} deep"
            raise ConstraintError(f"{rule}, got {_cut(self._text)}; write it flatter.")
        self._depth += 1
        self._take()
        if text == "(":
            steps = self._sum()
            if self._next.text != ")":
                self._fail("')'")
            self._take()
        else:
            steps = [0, *self._factor(), text]  # -k is 0 - k
        self._depth -= 1
        return steps

    def _fail(self, expected: str) -> NoReturn:
        kind, text, at = self._next
        where = (
            f"expected {expected} at character {at + 1}, found {text!r}" if text else f"expected {expected} after it"
        )
        way = _WAYS_OUT.get(text)
        if kind == "sign" and expected == "')'":
            way = "a comparison does not go into parentheses"
        elif text == "(":
            way = "a rule has no functions, and a product has its *"
        elif text in ("*", "/") and self._text[at - 1 : at] == text:
            way = "a rule has + - * / only"
        hint = f"; {way}" if way else ""
        raise ConstraintError(f"must be a rule such as k <= r, got {_cut(self._text)}: {where}{hint}.")
