"""Where a field belongs that stands in another place."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

from yaml.nodes import MappingNode, Node, SequenceNode

from search_spaces.reading.document import SET, Place
from search_spaces.reading.fields import Model, amiss, fields_of, models_of
from search_spaces.reading.likeness import close
from search_spaces.reading.words import cut

MOST_HOMES = 3
"""Places that are offered; a field of more says little by its name."""

_CUTOFF = 0.8  # of likeness, where the names of a whole file are the choice


@dataclass(frozen=True)
class Homes:
    """What a whole file may hold, and what stands in it."""

    model: Model
    node: Node
    path: str = ""

    def of(self, name: str) -> list[str]:
        """The paths of the fields of that name, few or none; those that suit the model of the file, if any does."""
        found = {path: needs for path, needs in self._fields if _last(path) == name}
        paths = [path for path, needs in found.items() if self._ways(f"{needs}.")] or list(found)
        return paths if len(paths) <= MOST_HOMES else []

    def like(self, name: str) -> list[str]:
        """The same of the field whose name is most like this one."""
        meant = close(name, sorted({_last(path) for path, _ in self._fields}), cutoff=_CUTOFF)
        return self.of(meant) if meant else []

    def move(self, paths: list[str], path: str, place: Place) -> str:
        """What to do with what stands at `path`, and belongs to one of `paths`."""
        assignment = place.source.removeprefix(SET)
        given, _, value = assignment.partition("=")
        if assignment != place.source and (given == path or given.startswith(f"{path}.")):
            rest = f"{given[len(path) :]}={value}"
            ways = [cut(f"{SET}{way}{rest}") for home in paths for way in self._ways(home) or [home]]
            return f"write {', or '.join(ways[:MOST_HOMES])}."
        branches = any("any_of" in way for home in paths for way in self._ways(home))
        return f"it is {' or '.join(paths)}{', in the options of any_of' if branches else ''}; move it there."

    @cached_property
    def _fields(self) -> list[tuple[str, str]]:
        """The path of every field, and of the deepest section around it that no file may leave out."""
        return list(self._below(self.model, self.path, ""))

    def _below(self, model: Model, path: str, needs: str) -> Iterator[tuple[str, str]]:
        needed = amiss(model, ())
        if "" in needed and not self._ways(f"{path}."):
            return
        for name, info in fields_of(model).items():
            here = f"{path}.{name}" if path else name
            if "" in needed and not self._ways(f"{here}."):
                continue  # of names to choose from those that the file has
            yield here, needs
            for below in models_of(info)[0]:
                yield from self._below(below, here, here if info.is_required() or name in needed else needs)

    def _ways(self, path: str) -> list[str]:
        """The path as --set takes it, through each option of an any_of; none where the file has no such section."""
        parents = path.removeprefix(self.path).removeprefix(".").split(".")[:-1]
        return [".".join(filter(None, [*way, _last(path)])) for way in _down(self.node, parents, (self.path,))]


def _down(node: Node, names: list[str], way: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    """Every way to what stands at a path."""
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
