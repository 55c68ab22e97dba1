"""A space as a tree: values and domains at its leaves, mappings above, alternatives where the file has `any_of`."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

from search_spaces.domains import Choice, Chooser, Domain


@dataclass(frozen=True)
class Fixed:
    """A leaf with one value; whether the file could have left it out."""

    value: object
    is_default: bool = False


@dataclass(frozen=True)
class Leaf:
    """A leaf with a domain."""

    path: str
    domain: Domain


@dataclass(frozen=True)
class Group:
    """A mapping of fields."""

    fields: dict[str, "SpaceNode"]


@dataclass(frozen=True)
class Branches:
    """An any_of: one of several mappings, by label."""

    path: str
    options: dict[str, "SpaceNode"]


SpaceNode: TypeAlias = Fixed | Leaf | Group | Branches


def resolve(node: SpaceNode, chooser: Chooser) -> Any:  # noqa: ANN401 - plain data, for Pydantic
    """The plain data that `chooser` makes of a space."""
    if isinstance(node, Fixed):
        return node.value
    if isinstance(node, Leaf):
        return chooser.choose(node.path, node.domain)
    if isinstance(node, Group):
        return {name: resolve(child, chooser) for name, child in node.fields.items()}
    label = chooser.choose(node.path, Choice(tuple(node.options)))
    return resolve(node.options[str(label)], chooser)


def leaves(node: SpaceNode) -> Iterator[Leaf]:
    """Every domain below `node`, branch choices included as choices among labels; in file order."""
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Group):
        for child in node.fields.values():
            yield from leaves(child)
    elif isinstance(node, Branches):
        yield Leaf(node.path, Choice(tuple(node.options)))
        for child in node.options.values():
            yield from leaves(child)
