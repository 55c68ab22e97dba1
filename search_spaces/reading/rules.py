"""Rules such as `k <= r`, parsed from text by our own parser and never executed as code.

    rule   = sum sign sum {sign sum}             sign: < <= > >= == !=
    sum    = term {("+" | "-") term}
    term   = factor {("*" | "/") factor}
    factor = ("+" | "-") factor | number | field | "(" sum ")"

A field is written as its full path, or as the last part of the path if no configuration has two fields of that name.
"""

import math
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple, NoReturn, TypeAlias

from search_spaces.reading.document import plain
from search_spaces.reading.words import quoted

LONGEST_RULE = 500
"""Largest number of characters of a rule."""

DEEPEST = 40
"""Largest nesting depth of parentheses and leading signs in a rule."""

Number: TypeAlias = int | float


@dataclass(frozen=True)
class Name:
    """A field as a rule names it, and the attributes that lead to it; several if models share the name."""

    text: str
    attributes: tuple[tuple[str, ...], ...]
    path: str = ""
    """The field's full path; `text` if several models share the name."""

    def value(self, trial: object) -> Number | None:
        """Return the field's number; `None` if `trial` does not have the field, or it is null."""
        for attributes in self.attributes:
            found: object = trial
            for attribute in attributes:
                found = getattr(found, attribute, None)
            if isinstance(found, int | float):
                return found
        return None


Step: TypeAlias = Number | Name | str
"""One element of a sum in postfix order, which needs no recursion to compute: `k * 2` is k, 2, "*"."""


class ConstraintError(ValueError):
    """An invalid rule; `messages` lists all its mistakes."""

    def __init__(self, *messages: str) -> None:
        super().__init__(" ".join(messages))
        self.messages = messages


def parse_rule(text: str) -> tuple[list[list[Step]], list[str]]:
    """Return the sides of a rule in postfix order, and the signs between them; one side without a comparison.

    Raises:
        ConstraintError: If it does not follow the grammar, or is too long.
    """
    if len(text) > LONGEST_RULE:
        rule = f"must have at most {LONGEST_RULE} characters, got {len(text)}"
        raise ConstraintError(f"{rule}; split it into several rules, which must all hold.")
    return _Parser(text).rule()


class _Token(NamedTuple):
    kind: str  # number, name, sign, mark or end
    text: str
    at: int


_TOKEN = re.compile(
    r"(?P<number>(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?)"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*(?:\.(?:conv[0-9]+-conv[0-9]+|[A-Za-z_][A-Za-z0-9_]*))*)"  # a range is one name
    r"|(?P<sign>[<>=!]=|[<>])"
    r"|(?P<mark>[-+*/()])"
)
_SPACE = re.compile(r"[ \t\r\n]*")

_WAYS_OUT = {
    "=": "write == for equal, <= for at most",
    "≤": "write <=",
    "≥": "write >=",
    "≠": "write !=",
    "λ": "write lambda",
    "·": "write *",
    "×": "write *",  # noqa: RUF001 - the sign is meant
    "[": "leave out the brackets, because a rule holds in every branch",
    "&": "write two rules, which must both hold",
    "and": "write two rules, which must both hold",
    "or": "a rule cannot have alternatives",
    "|": "a rule cannot have alternatives",
    "not": "reverse the comparison",
    "%": "a rule can use only + - * /",
    "^": "a rule can use only + - * /",
    "'": "a rule can compare only numbers",
    '"': "a rule can compare only numbers",
}


class _Parser:
    """A recursive-descent parser with one method per line of the grammar; the output is in postfix order."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._tokens = self._split()
        self._next = next(self._tokens)
        self._depth = 0

    def rule(self) -> tuple[list[list[Step]], list[str]]:
        """Return the sides and the signs between them; one side and no sign without a comparison."""
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
                self._fail("a smaller number")
            self._take()
            return [value]
        if kind == "name":
            return [Name(self._take(), ())]
        if kind != "mark" or text not in ("+", "-", "("):
            self._fail("a number, a field or '('")
        if self._depth == DEEPEST:
            rule = f"nests parentheses and signs more than {DEEPEST} levels deep"
            raise ConstraintError(f"{rule}, got {quoted(self._text)}; reduce the nesting.")
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
            way = "a comparison cannot be in parentheses"
        elif text == "(":
            way = "a rule cannot use functions, and a product needs *"
        elif text in ("*", "/") and self._text[at - 1 : at] == text:
            way = "a rule can use only + - * /"
        hint = f"; {way}" if way else ""
        raise ConstraintError(f"must be a rule such as k <= r, got {quoted(self._text)}: {where}{hint}.")
