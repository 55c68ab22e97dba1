"""The right place for a field that is written in the wrong place."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property

from yaml.nodes import MappingNode, Node, SequenceNode

from search_spaces.reading.document import SET, Place
from search_spaces.reading.fields import Model, fields_of, mistakes_in, models_of, uses_some_fields
from search_spaces.reading.likeness import close
from search_spaces.reading.ranges import Entries
from search_spaces.reading.words import cut

MOST_HOMES = 3
"""Largest number of places that a message offers; with more, the name says too little."""

_CUTOFF = 0.8  # similarity required among all names of a file


@dataclass(frozen=True)
class Homes:
    """The fields that a file may have, and the content of the file."""

    model: Model
    node: Node
    path: str = ""

    def of(self, name: str) -> list[str]:
        """Return the paths of the fields with that name, if few; preferably those that fit the model of the file."""
        found = {path: needs for path, needs in self._fields if _last(path) == name}
        paths = [path for path, needs in found.items() if self._ways(f"{needs}.")] or list(found)
        return paths if len(paths) <= MOST_HOMES else []

    def like(self, name: str) -> list[str]:
        """Return the paths of the field with the most similar name."""
        meant = close(name, sorted({_last(path) for path, _ in self._fields}), cutoff=_CUTOFF)
        return self.of(meant) if meant else []

    def move(self, paths: list[str], path: str, place: Place) -> str:
        """Return how to fix a field at `path` that belongs to one of `paths`."""
        assignment = place.source.removeprefix(SET)
        given, _, value = assignment.partition("=")
        if assignment != place.source and (given == path or given.startswith(f"{path}.")):
            rest = f"{given[len(path) :]}={value}"
            ways = [cut(f"{SET}{way}{rest}") for home in paths for way in self._ways(home) or [home]]
            return f"write {', or '.join(ways[:MOST_HOMES])}."
        branches = any("any_of" in way for home in paths for way in self._ways(home))
        return f"move it to {' or '.join(paths)}{', in the options of any_of' if branches else ''}."

    @cached_property
    def _fields(self) -> list[tuple[str, str]]:
        """The path of every field, and of the deepest required section that contains it."""
        return list(self._below(self.model, self.path, ""))

    def _below(self, model: Model, path: str, needs: str) -> Iterator[tuple[str, str]]:
        needed, some = mistakes_in(model, ()), uses_some_fields(model)
        if some and not self._ways(f"{path}."):
            return
        for name, info in fields_of(model).items():
            here = f"{path}.{name}" if path else name
            if some and not self._ways(f"{here}."):
                continue
            yield here, needs
            for below in models_of(info)[0]:
                yield from self._below(below, here, here if info.is_required() or name in needed else needs)

    def _ways(self, path: str) -> list[str]:
        """Return the path for --set through each option of an any_of; empty if the file has no such section."""
        parents = path.removeprefix(self.path).removeprefix(".").split(".")[:-1]
        return [".".join(filter(None, [*way, _last(path)])) for way in _down(self.node, parents, (self.path,))]


def replacing(model: Model, name: str, entries: Entries) -> str:
    """Return how --set can replace a mapping, if --set added one of two fields that exclude each other."""
    for other, (where, _) in entries.items():
        source = Place.of(where).source
        parts = source.removeprefix(SET).partition("=")[0].split(".")
        if source.startswith(SET) and other in parts and _exclude(model, name, [other] if other != name else entries):
            above = ".".join(parts[: parts.index(other)])
            return f" To replace all of it: {SET}'{cut(above)}={{{other}: {{...}}}}'."
    return ""


def _exclude(model: Model, name: str, others: Iterable[str]) -> bool:
    pairs = ((name, other) for other in others if {name, other} <= fields_of(model).keys() and other != name)
    return any(mistakes_in(model, pair).keys() & {*pair} for pair in pairs)


def _down(node: Node, names: list[str], way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Yield every way to the node at a path."""
    if not isinstance(node, MappingNode):
        return
    below = {key.value: value for key, value in node.value}
    options = below.get("any_of")
    if isinstance(options, SequenceNode):
        for number, option in enumerate(options.value[:MOST_HOMES]):
            yield from _down(option, names, (*way, "any_of", str(number)))
    elif not names:
        yield way
    elif names[0] in below:
        yield from _down(below[names[0]], names[1:], (*way, names[0]))


def _last(path: str) -> str:
    return path.rpartition(".")[2]
