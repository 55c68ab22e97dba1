"""A space as a tree: leaves are values or domains, inner nodes are mappings or the alternatives of an `any_of`."""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from search_spaces.domains import Choice, Chooser, Domain, Scalar, count, every, is_finite


@dataclass(frozen=True)
class Fixed:
    """A leaf with one value. `is_default` says whether the file could have left it out."""

    value: object
    is_default: bool = False


@dataclass(frozen=True)
class Leaf:
    """A leaf with a domain."""

    path: str
    domain: Domain
    representatives: tuple[Scalar, ...] = ()
    """The values that decide whether any value can run; if empty, the first value of the domain."""

    decides: bool = field(default=True, compare=False)
    """Whether the value is known to affect feasibility."""


@dataclass(frozen=True)
class Group:
    """A mapping of fields."""

    fields: dict[str, "SpaceNode"]


@dataclass(frozen=True)
class Branches:
    """An `any_of`: one of several mappings, by label."""

    path: str
    options: dict[str, "SpaceNode"]

    @cached_property
    def labels(self) -> Choice:
        """The labels, as a choice."""
        return Choice(tuple(self.options))


SpaceNode: TypeAlias = Fixed | Leaf | Group | Branches


def resolve(node: SpaceNode, chooser: Chooser) -> Any:  # noqa: ANN401 - plain data, for Pydantic
    """Return the plain data that `chooser` selects from a space."""
    if isinstance(node, Fixed):
        return node.value
    if isinstance(node, Leaf):
        return chooser.choose(node.path, node.domain)
    if isinstance(node, Group):
        return {name: resolve(child, chooser) for name, child in node.fields.items()}
    label = chooser.choose(node.path, node.labels)
    return resolve(node.options[str(label)], chooser)


def leaves(node: SpaceNode) -> Iterator[Leaf]:
    """Yield every domain below `node` in file order; a branch is a choice among labels."""
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Group):
        for child in node.fields.values():
            yield from leaves(child)
    elif isinstance(node, Branches):
        yield Leaf(node.path, node.labels)
        for child in node.options.values():
            yield from leaves(child)


class Decided:
    """A chooser that repeats decisions made before."""

    def __init__(self, decisions: dict[str, Scalar]) -> None:
        self._decisions = decisions

    def choose(self, path: str, _domain: Domain) -> Scalar:
        """Return the recorded decision for `path`."""
        return self._decisions[path]


def nodes_at(node: SpaceNode, names: list[str]) -> Iterator[SpaceNode | None]:
    """Yield the node at a path in each branch; `None` for a branch without one."""
    if isinstance(node, Branches):
        for option in node.options.values():
            yield from nodes_at(option, names)
    elif not names:
        yield node
    elif isinstance(node, Group) and names[0] in node.fields:
        yield from nodes_at(node.fields[names[0]], names[1:])
    else:
        yield None


def examples(domain: Domain) -> Sequence[Scalar]:
    """Return every value of a list, or a few values of a range."""
    return domain.examples()


def listed(domain: Domain) -> Sequence[Scalar]:
    """Return every value of a finite domain, or the ends of a range of real numbers."""
    return every(domain) if is_finite(domain) else domain.examples()


def points(node: SpaceNode, values: Callable[[Domain], Sequence[Scalar]] = listed) -> Iterator[dict[str, Scalar]]:
    """Yield all decisions of a space; the last domain varies fastest. Real ranges contribute their ends."""
    if isinstance(node, Fixed):
        yield {}
    elif isinstance(node, Leaf):
        for value in values(node.domain):
            yield {node.path: value}
    elif isinstance(node, Branches):
        for label, option in node.options.items():
            for below in points(option, values):
                yield {node.path: label, **below}
    else:
        yield from _crossed(list(node.fields.values()), values)


def _crossed(nodes: list[SpaceNode], values: Callable[[Domain], Sequence[Scalar]]) -> Iterator[dict[str, Scalar]]:
    """Cross the points of the first node with those of the rest, lazily: there may be billions."""
    if not nodes:
        yield {}
        return
    for head in points(nodes[0], values):
        for tail in _crossed(nodes[1:], values):
            yield {**head, **tail}


def size(node: SpaceNode) -> int:
    """Return the number of points of a finite space."""
    if isinstance(node, Fixed):
        return 1
    if isinstance(node, Leaf):
        return count(node.domain)
    if isinstance(node, Branches):
        return sum(size(option) for option in node.options.values())
    return math.prod(size(child) for child in node.fields.values())
