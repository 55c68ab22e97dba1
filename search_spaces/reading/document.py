"""A YAML file whose every key and value knows its line and column; and the mistakes found in it.

YAML is read as version 1.2 has it where the two differ in ways that bite: `1e-4` is a number, `on` and `no` are text.
"""

import difflib
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

MAX_DEPTH = 40
"""Mappings and lists inside each other; a sweep needs about ten."""

MAX_VALUES = 100_000
"""Values in a file once its aliases are written out; ten lines of aliases can stand for billions."""


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

    def own_tag(self, node: Node) -> str:
        """The tag that a node has if none is written."""
        unquoted = isinstance(node, ScalarNode) and node.style is None
        tag: str = self.resolve(type(node), node.value, (unquoted, not unquoted))  # type: ignore[no-untyped-call]
        return tag


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


class _Dumper(yaml.SafeDumper):  # quotes what the loader above would not read back as text
    yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers


_WAYS_OUT = {
    "'\\t'": "indent with spaces, not with tabs",
    "cannot start any token": "put the value in quotes",
    "quoted scalar": "close the quote",
    "mapping values are not allowed": "look for a key without a space after its ':', or an indentation that differs, "
    "here or in the line above",
    "could not find expected ':'": "a key needs ': ', with the space, before its value",
    "expected <block end>": "the keys of one mapping must be indented alike",
    "expected ',' or": "close the bracket, and put commas between its entries",
    "undefined alias": "an alias *name needs an anchor &name above it",
    "expected a single document": "one file holds one sweep",
}


def compose(text: str, source: str) -> MappingNode:
    """Parse `text` into a mapping of positioned nodes, with anchors and merge keys resolved.

    Raises:
        SpecError: If it is no YAML, or not a mapping, gives a key twice, or grows beyond reason.
    """
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        lines = text[: error.position].split("\n")
        place = Place(source, len(lines), len(lines[-1]) + 1)
        rule = f"holds the character U+{ord(text[error.position]):04X}, which YAML does not allow; delete it."
        raise SpecError([Problem(place, "", f"the file {rule}")]) from error
    loader.name = source
    try:
        node = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        raise SpecError([_not_yaml(error, source)]) from error
    except RecursionError as error:
        place = Place(source, loader.line + 1, loader.column + 1)
        raise SpecError([Problem(place, "", _TOO_DEEP)]) from error
    if not isinstance(node, MappingNode):
        found = "nothing" if node is None else "a list" if isinstance(node, SequenceNode) else "a single value"
        place = Place(source, 1, 1) if node is None else Place.of(node)
        raise SpecError([Problem(place, "", f"a sweep file is a mapping (name:, space:, ...), got {found}.")])
    sizes: dict[int, int] = {}
    mistakes = list(_mistakes(loader, node, "", (), sizes))
    if not mistakes and sizes[id(node)] > MAX_VALUES:
        rule = f"its aliases stand for {sizes[id(node)]} values; a sweep file has at most {MAX_VALUES}."
        mistakes = [Problem(Place.of(node), "", rule)]
    if mistakes:
        raise SpecError(mistakes)
    _flatten(loader, node, set())
    return node


_TOO_DEEP = f"mappings and lists stand more than {MAX_DEPTH} deep inside each other; write them flatter."


def _not_yaml(error: yaml.MarkedYAMLError, source: str) -> Problem:
    mark, context = error.problem_mark or error.context_mark, error.context_mark
    place = Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)
    reason = " ".join(filter(None, [error.context, error.problem]))
    if mark and context and context.line != mark.line:
        reason += f" (begun in line {context.line + 1})"
    way_out = next((f"; {way}" for words, way in _WAYS_OUT.items() if words in reason), "")
    return Problem(place, "", f"this is not YAML: {reason}{way_out}.")


def _mistakes(
    loader: _Loader, node: Node, path: str, above: tuple[int, ...], sizes: dict[int, int]
) -> Iterator[Problem]:
    """What is wrong with the tree as a tree. `sizes` gets the values below each node, aliases written out."""
    if id(node) in above:
        yield Problem(Place.of(node), path, "contains itself (an alias inside its own anchor); write it out.")
        return
    if id(node) in sizes:
        return
    if len(above) == MAX_DEPTH:
        yield Problem(Place.of(node), "", _TOO_DEEP)
        return
    if tag := _odd_tag(loader, node):
        yield Problem(Place.of(node), path, f"has the tag {tag}, but sweep files need no tags; leave it out.")
    children: list[Node] = []
    if isinstance(node, MappingNode):
        yield from _odd_keys(node, path)
        for key, value in node.value:
            if isinstance(key, ScalarNode):
                children.append(value)
                yield from _mistakes(loader, value, _below(path, key), (*above, id(node)), sizes)
    elif isinstance(node, SequenceNode):
        children = node.value
        for number, item in enumerate(node.value):
            yield from _mistakes(loader, item, f"{path}.{number}", (*above, id(node)), sizes)
    sizes[id(node)] = 1 + sum(sizes.get(id(child), 1) for child in children)


def _odd_keys(node: MappingNode, path: str) -> Iterator[Problem]:
    keys: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            yield Problem(Place.of(key), path, "has a list or mapping as a key; keys are words.")
        elif key.value in keys and key.value != "<<":
            yield Problem(Place.of(key), _below(path, key), "stands twice in one mapping; keep one of them.")
        else:
            keys.add(key.value)


def _below(path: str, key: ScalarNode) -> str:
    return f"{path}.{key.value}" if path else str(key.value)


def _odd_tag(loader: _Loader, node: Node) -> str | None:
    """The tag of a node that has one it would not have by itself; `!!str` is fine, it makes text of a number."""
    if node.tag in (loader.own_tag(node), "tag:yaml.org,2002:str"):
        return None
    return str(node.tag).replace("tag:yaml.org,2002:", "!!")


def _flatten(loader: _Loader, node: Node, seen: set[int]) -> None:
    if id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, MappingNode):
        try:
            loader.flatten_mapping(node)
        except yaml.constructor.ConstructorError as error:
            mark = error.problem_mark
            place = Place(mark.name, mark.line + 1, mark.column + 1) if mark else Place.of(node)
            rule = "a merge key << takes a mapping, or a list of mappings, as in <<: *name."
            raise SpecError([Problem(place, "", rule)]) from error
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


def _whole(text: str) -> int | float:
    return int(text) if len(text) <= LONGEST_INT else float(text)


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) + 0.0  # -0.0 is 0.0


LONGEST_INT = 40
"""Digits beyond which a whole number is read as a real one; it is out of every range anyway."""

_PLAIN: dict[str, Callable[[str], object]] = {
    "null": lambda _: None,
    "bool": lambda text: text.lower() == "true",
    "int": _whole,
    "float": _real,
}


def plain(text: str) -> object:
    """What `text` would be without quotes."""
    node = ScalarNode("", text)
    node.tag = _Loader("").own_tag(node)
    return value_of(node)


def written(value: object) -> str:
    """`value` as YAML in one line."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def dumped(value: object) -> str:
    """`value` as a YAML file that reads back as the same value."""
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False)  # non-ASCII escaped: some of it breaks lines
    return text


def override(root: MappingNode, assignment: str) -> None:
    """Apply `--set path=value` to the tree: `space.training.epochs=3`, list items by number.

    Raises:
        SpecError: If the assignment has no `=`, its value is no YAML, or its path goes through a single value.
    """
    path, sign, text = assignment.partition("=")
    source = f"--set {assignment}"
    start = Place(source, 1, 1)
    if not sign or not all(path.split(".")):
        raise SpecError([Problem(start, "", "must have the form path=value, as in --set space.training.epochs=3.")])
    filler = "_" * max(1, len(path) - 1)  # puts the value into its own column
    entries = compose(f"{filler}: {text}", source).value
    if len(entries) != 1:
        raise SpecError([Problem(start, path, "must get one value in one line.")])
    ((_, node),) = entries
    here: Node = root
    *parents, last = path.split(".")
    for depth, part in enumerate(parents):
        child = _child(here, part)
        if child is None and isinstance(here, MappingNode):
            child = MappingNode("tag:yaml.org,2002:map", [], node.start_mark, node.end_mark)
        elif isinstance(child, MappingNode | SequenceNode):  # a copy: an anchor may show the node elsewhere too
            child = type(child)(child.tag, list(child.value), child.start_mark, child.end_mark)
        else:
            at, rule = ".".join(parents[: depth + 1]), "has one value and no keys"
            if isinstance(here, SequenceNode):
                at, rule = ".".join(parents[:depth]), "has no item of that number"
            raise SpecError([Problem(start, path, f"cannot be set: {at} {rule}.")])
        _put(here, part, child)
        here = child
    if not isinstance(here, MappingNode) and _child(here, last) is None:
        raise SpecError([Problem(start, path, f"cannot be set: {'.'.join(parents)} has no item of that number.")])
    _put(here, last, node)


def _child(node: Node, part: str) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, SequenceNode) and part.isdecimal() and int(part) < len(node.value):
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


def close(word: str, valid: Iterable[str]) -> str | None:
    """The valid word that `word` was most likely meant to be, if one is near."""
    by_lower = {name.lower(): name for name in valid}
    for name in by_lower.values():
        if len(word) > 1 and (word == _initials(name) or name == _initials(word)):  # learning_rate is lr
            return name
    found = difflib.get_close_matches(word.lower()[:100], by_lower, n=1, cutoff=0.6)
    return by_lower[found[0]] if found else None


def _initials(name: str) -> str:
    return "".join(part[:1] for part in name.split("_"))


def nearest(word: str, valid: Iterable[str]) -> str:
    """`did you mean 'x'?`, or the list of valid words where none is near."""
    words = list(valid)
    found = close(word, words)
    return f"did you mean {found!r}?" if found else f"valid are {', '.join(words)}."
