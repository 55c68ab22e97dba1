"""A YAML file whose every key and value knows its line and column; and the mistakes found in it.

YAML is read as version 1.2 has it where the two differ in ways that bite: `1e-4` is a number, `on` and `no` are text.
"""

import difflib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode


@dataclass(frozen=True, order=True)
class Place:
    """Where something stands: file, line and column from 1."""

    source: str
    line: int
    column: int

    @classmethod
    def of(cls, node: Node) -> "Place":
        """Where `node` begins."""
        return cls(node.start_mark.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def __str__(self) -> str:
        return f"{self.source}:{self.line}:{self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake: where, at which path, and what to do."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path} {self.message}" if self.path else f"{self.place}: {self.message}"


class SpecError(Exception):
    """All mistakes of a file, in the file's order."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))
        super().__init__(self.problems)

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class _Loader(yaml.SafeLoader):
    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol


_Loader.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), [*"-+0123456789"])
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(r"^[-+]?(?:(?:\.[0-9]+|[0-9]+\.?[0-9]*)(?:[eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)$|^\.(?:nan|NaN|NAN)$"),
    [*"-+.0123456789"],
)
_Loader.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])


def compose(text: str, source: str) -> MappingNode:
    """Parse `text` into a mapping of positioned nodes, with anchors and merge keys resolved.

    Raises:
        SpecError: If it is no YAML, or not a mapping, or gives a key twice.
    """
    loader = _Loader(text)
    loader.name = source
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
        reason = " ".join(filter(None, [error.context, error.problem]))
        raise SpecError([Problem(place, "", f"this is not YAML: {reason}.")]) from error
    except yaml.YAMLError as error:
        raise SpecError([Problem(Place(source, 1, 1), "", f"this is not YAML: {error}.")]) from error
    if not isinstance(node, MappingNode):
        found = "nothing" if node is None else "a list" if isinstance(node, SequenceNode) else "a single value"
        place = Place(source, 1, 1) if node is None else Place.of(node)
        raise SpecError([Problem(place, "", f"a sweep file is a mapping (name:, space:, ...), got {found}.")])
    if mistakes := list(_odd_keys(node, "", ())):
        raise SpecError(mistakes)
    _flatten(loader, node, set())
    return node


def _odd_keys(node: Node, path: str, above: tuple[int, ...]) -> Iterator[Problem]:
    if id(node) in above:
        yield Problem(Place.of(node), path, "contains itself (an alias inside its own anchor); write it out.")
    elif isinstance(node, MappingNode):
        keys: set[str] = set()
        for key, value in node.value:
            if not isinstance(key, ScalarNode):
                yield Problem(Place.of(key), path, "has a list or mapping as a key; keys are words.")
                continue
            here = f"{path}.{key.value}" if path else key.value
            if key.value in keys and key.value != "<<":
                yield Problem(Place.of(key), here, "stands twice in one mapping; keep one of them.")
            keys.add(key.value)
            yield from _odd_keys(value, here, (*above, id(node)))
    elif isinstance(node, SequenceNode):
        for number, item in enumerate(node.value):
            yield from _odd_keys(item, f"{path}.{number}", (*above, id(node)))


def _flatten(loader: _Loader, node: Node, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, MappingNode):
        try:
            loader.flatten_mapping(node)
        except yaml.constructor.ConstructorError as error:
            raise SpecError([Problem(Place.of(node), "", f"cannot be merged: {error.problem}.")]) from error
        node.value = list({key.value: (key, value) for key, value in node.value}.values())  # own keys win over merged
        for _, value in node.value:
            _flatten(loader, value, seen)
    elif isinstance(node, SequenceNode):
        for item in node.value:
            _flatten(loader, item, seen)


def value_of(node: Node) -> object:
    """The plain Python value of `node` and all below it."""
    if isinstance(node, MappingNode):
        return {key.value: value_of(value) for key, value in node.value}
    if isinstance(node, SequenceNode):
        return [value_of(item) for item in node.value]
    return _PLAIN.get(node.tag.rpartition(":")[2], str)(node.value)


_PLAIN: dict[str, Callable[[str], object]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": int,
    "float": lambda text: float(text.lower().replace(".inf", "inf").replace(".nan", "nan")),
}


def override(root: MappingNode, assignment: str) -> None:
    """Apply `--set path=value` to the tree: `space.training.epochs=3`, list items by number.

    Raises:
        SpecError: If the assignment has no `=`, its value is no YAML, or its path goes through a single value.
    """
    path, sign, text = assignment.partition("=")
    source = f"--set {assignment}"
    start = Place(source, 1, 1)
    if not sign or not path:
        raise SpecError([Problem(start, "", "must have the form path=value, as in --set space.training.epochs=3.")])
    value = dict(compose(f"value: {text}", source).value)
    (node,) = value.values()
    here: Node = root
    *parents, last = path.split(".")
    for depth, part in enumerate(parents):
        child = _child(here, part)
        if child is None and isinstance(here, MappingNode):
            child = MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)
        elif isinstance(child, MappingNode | SequenceNode):  # a copy: an anchor may show the node elsewhere too
            child = type(child)(child.tag, list(child.value), child.start_mark, child.end_mark)
        else:
            at = ".".join(parents[: depth + 1])
            raise SpecError([Problem(start, path, f"cannot be set: {at} holds no further keys.")])
        _put(here, part, child)
        here = child
    if not isinstance(here, MappingNode) and _child(here, last) is None:
        raise SpecError([Problem(start, path, f"cannot be set: the list has no item {last}.")])
    _put(here, last, node)


def _child(node: Node, part: str) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, SequenceNode) and part.isdigit() and int(part) < len(node.value):
        item: Node = node.value[int(part)]
        return item
    return None


def _put(node: Node, part: str, child: Node) -> None:
    if isinstance(node, SequenceNode):
        node.value[int(part)] = child
        return
    for place, (key, _) in enumerate(node.value):
        if key.value == part:
            node.value[place] = (key, child)
            return
    node.value.append((ScalarNode("tag:yaml.org,2002:str", part, child.start_mark, child.end_mark), child))


def nearest(word: str, valid: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the list of valid words where none is near."""
    words = list(valid)
    close = difflib.get_close_matches(word, words, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else f"valid are {', '.join(words)}."
