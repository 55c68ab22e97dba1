"""A YAML document in which every key and value knows its line and column, and the mistakes found in it."""

import itertools
import json
import math
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.reading.tree import (
    MAX_DEPTH,
    MOST_NODES,
    Resolver,
    TooDeepError,
    TooManyError,
    flatten,
    odd_tag,
    own_tag,
    parse,
)

LARGEST_FILE = 2**20
"""Limit on the bytes of a file, and on its characters with aliases expanded: ten lines can expand to billions."""

_LARGEST_TEXT = 8 * LARGEST_FILE  # for a file as run, with overrides applied

MOST_PROBLEMS = 100
"""Largest number of mistakes reported for one file."""

SET = "--set "
"""Prefix of the source of values from the command line."""

_LONGEST_SET = 100


@dataclass(frozen=True, order=True)
class Place:
    """A position: file, line and column, counted from 1. In `--set path=value`, the column counts from `path`."""

    source: str
    line: int
    column: int

    @classmethod
    def of(cls, node: Node) -> "Place":
        """Return the start of `node`."""
        return cls(node.start_mark.name, node.start_mark.line + 1, node.start_mark.column + 1)

    def __str__(self) -> str:
        if not self.source.startswith(SET):
            return f"{self.source}:{self.line}:{self.column}"
        source = " ".join(self.source.split())
        line = f"line {self.line}, " if self.line > 1 else ""
        return f"{source if len(source) <= _LONGEST_SET else f'{source[:_LONGEST_SET]}...'}, {line}column {self.column}"


@dataclass(frozen=True, order=True)
class Problem:
    """One mistake: its position, its path, and the message."""

    place: Place
    path: str
    message: str

    def __str__(self) -> str:
        return f"{self.place}: {self.path} {self.message}" if self.path else f"{self.place}: {self.message}"


class SpecError(Exception):
    """The mistakes of a file, in file order: all of them, or the first `MOST_PROBLEMS`."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = sorted(set(problems))[:MOST_PROBLEMS]
        super().__init__(self.problems)

    def __str__(self) -> str:
        more = [f"There may be more mistakes; only the first {MOST_PROBLEMS} are shown."]
        return "\n".join([*map(str, self.problems), *(more if len(self.problems) >= MOST_PROBLEMS else [])])


class _Dumper(yaml.SafeDumper):  # quotes text that would be read back as another type
    yaml_implicit_resolvers = Resolver.yaml_implicit_resolvers


_WAYS_OUT = {
    "'\\t'": "indent with spaces, not with tabs",
    "cannot start any token": "put the value in quotes",
    "quoted scalar": "close the quote",
    "mapping values are not allowed": "put a value that contains ': ' in quotes, or check this line and the one above "
    "for a key without a space after ':' or for different indentation",
    "could not find expected ':'": "write ': ', with the space, between a key and its value",
    "expected <block end>": "the keys of one mapping must have the same indentation",
    "did not find expected key": "the keys of one mapping must have the same indentation",
    "expected ',' or": "close the bracket, and put commas between its entries",
    "undefined alias": "an alias *name needs an anchor &name above it",
    "expected a single document": "a file can contain only one sweep",
}


def compose(text: str, source: str) -> MappingNode:
    """Parse `text` into a mapping of nodes with positions, with anchors and merge keys resolved.

    Raises:
        SpecError: If it is not YAML, is not a mapping, repeats a key, or is too large.
    """
    if len(text) > _LARGEST_TEXT:
        raise SpecError([too_large(source, len(text), _LARGEST_TEXT)])
    try:
        node = parse(text, source, MOST_NODES if len(text) <= LARGEST_FILE else math.inf)
    except yaml.reader.ReaderError as error:
        lines = text[: error.position].split("\n")
        place = Place(source, len(lines), len(lines[-1]) + 1)
        rule = f"contains the character U+{ord(text[error.position]):04X}, which YAML does not allow; delete it."
        raise SpecError([Problem(place, "", f"the file {rule}")]) from error
    except TooDeepError as error:
        raise SpecError([Problem(_place_of(error, source), "", _TOO_DEEP)]) from error
    except TooManyError as error:
        rule = f"a sweep file can have at most {MOST_NODES:,} values; {_FEWER}."
        raise SpecError([Problem(_place_of(error, source), "", rule)]) from error
    except yaml.MarkedYAMLError as error:
        raise SpecError([_not_yaml(error, source)]) from error
    if not isinstance(node, MappingNode):
        found = "nothing" if node is None else "a list" if isinstance(node, SequenceNode) else "a single value"
        place = Place(source, 1, 1) if node is None else Place.of(node)
        raise SpecError([Problem(place, "", f"a sweep file must be a mapping (name:, space:, ...), got {found}.")])
    sizes: dict[int, int] = {}
    mistakes = list(itertools.islice(_mistakes(node, "", (), sizes), MOST_PROBLEMS))
    if not mistakes and sizes[id(node)] > LARGEST_FILE + len(text):
        rule = f"its aliases expand to {sizes[id(node)]:,} characters; a sweep file can have at most {LARGEST_FILE:,}."
        mistakes = [Problem(Place.of(node), "", rule)]
    if mistakes:
        raise SpecError(mistakes)
    _flatten(node, set())
    return node


def too_large(source: str, size: int, most: int = LARGEST_FILE) -> Problem:
    """Return the problem with a file of `size` bytes or more."""
    return Problem(Place(source, 1, 1), "", f"a sweep file can have at most {most:,} bytes, got {size:,}; {_FEWER}.")


_FEWER = "write a range, as in {int: [1, 1000]}, or fewer values"

_TOO_DEEP = f"mappings and lists are nested more than {MAX_DEPTH} levels deep; reduce the nesting."


def _not_yaml(error: yaml.MarkedYAMLError, source: str) -> Problem:
    mark, context = error.problem_mark or error.context_mark, error.context_mark
    reason = " ".join(filter(None, [error.context, error.problem]))
    if mark and context and context.line != mark.line:
        reason += f" (started in line {context.line + 1})"
    way_out = next((f"; {way}" for words, way in _WAYS_OUT.items() if words in reason), "")
    return Problem(_place_of(error, source), "", f"this is not YAML: {reason}{way_out}.")


def _place_of(error: yaml.MarkedYAMLError, source: str) -> Place:
    mark = error.problem_mark or error.context_mark
    return Place(source, mark.line + 1, mark.column + 1) if mark else Place(source, 1, 1)


def _mistakes(node: Node, path: str, above: tuple[int, ...], sizes: dict[int, int]) -> Iterator[Problem]:
    """Yield the structural mistakes of the tree. `sizes` collects the characters of each node with aliases expanded."""
    if id(node) in above:
        yield Problem(
            Place.of(node), path, "contains itself (an alias inside its own anchor); replace the alias by its content."
        )
        return
    if id(node) in sizes:
        return
    if len(above) == MAX_DEPTH:
        yield Problem(Place.of(node), "", _TOO_DEEP)
        return
    if tag := odd_tag(node):
        yield Problem(Place.of(node), path, f"has the tag {tag}, but sweep files use no tags; leave it out.")
    size = 1
    if isinstance(node, MappingNode):
        yield from _odd_keys(node, path)
        size += sum(len(key.value) for key, _ in node.value if isinstance(key, ScalarNode))
        below = [(key.value, value) for key, value in node.value if isinstance(key, ScalarNode)]
    else:
        below = list(enumerate(node.value)) if isinstance(node, SequenceNode) else []
        size += 0 if isinstance(node, SequenceNode) else len(node.value)
    for name, child in below:
        if isinstance(child, ScalarNode) and odd_tag(child) is None:  # the common case in a large file
            size += 1 + len(child.value)
        else:
            yield from _mistakes(child, _below(path, name), (*above, id(node)), sizes)
            size += sizes.get(id(child), 1)
    sizes[id(node)] = size


def _odd_keys(node: MappingNode, path: str) -> Iterator[Problem]:
    keys: set[str] = set()
    for key, _ in node.value:
        if not isinstance(key, ScalarNode):
            yield Problem(Place.of(key), path, "has a list or mapping as a key; write keys as plain words.")
        elif key.value in keys and key.value != "<<":
            yield Problem(Place.of(key), _below(path, key.value), "is given twice in one mapping; keep one of them.")
        else:
            keys.add(key.value)


def _below(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)


def _flatten(node: Node, seen: set[int]) -> None:
    if isinstance(node, ScalarNode) or id(node) in seen:
        return
    seen.add(id(node))
    if isinstance(node, MappingNode):
        try:
            flatten(node)
        except yaml.constructor.ConstructorError as error:
            mark = error.problem_mark
            place = Place(mark.name, mark.line + 1, mark.column + 1) if mark else Place.of(node)
            rule = "a merge key << takes a mapping, or a list of mappings, as in <<: *name."
            raise SpecError([Problem(place, "", rule)]) from error
        node.value = list({key.value: (key, value) for key, value in node.value}.values())  # own keys come last
    for child in node.value if isinstance(node, SequenceNode) else [value for _, value in node.value]:
        _flatten(child, seen)


def value_of(node: Node) -> object:
    """Return the plain Python value of `node` and everything below it."""
    if isinstance(node, ScalarNode):  # the common case in a large file
        return _PLAIN.get(node.tag, str)(node.value)
    if isinstance(node, MappingNode):
        return {key.value: value_of(value) for key, value in node.value}
    return [value_of(item) for item in node.value]


def _whole(text: str) -> int | float:
    return int(text) if len(text) <= LONGEST_INT else float(text)


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan")) + 0.0  # -0.0 is 0.0


LONGEST_INT = 40
"""Integers with more digits are read as floats. They are out of every range anyway."""

_PLAIN: dict[str, Callable[[str], object]] = {
    "tag:yaml.org,2002:null": lambda _: None,
    "tag:yaml.org,2002:bool": lambda text: text.lower() == "true",
    "tag:yaml.org,2002:int": _whole,
    "tag:yaml.org,2002:float": _real,
}


def plain(text: str) -> object:
    """Return the value of `text` written without quotes."""
    node = ScalarNode("", text)
    node.tag = own_tag(ScalarNode, text)
    return value_of(node)


def written(value: object) -> str:
    """Return `value` as YAML on one line."""
    text: str = yaml.dump(value, Dumper=_Dumper, default_flow_style=True, width=math.inf, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def dumped(value: object) -> str:
    """Return `value` as a YAML file that reads back as the same value; large ones as JSON, a subset of YAML."""
    large = json.dumps(value, ensure_ascii=False)
    if len(large) > _LARGE_DUMP:
        return re.sub(r"[^ -~]", lambda letter: f"\\U{ord(letter[0]):08x}", large) + "\n"
    text: str = yaml.dump(value, Dumper=_Dumper, sort_keys=False)  # escapes non-ASCII: some of it breaks lines
    return text


_LARGE_DUMP = 30_000


def override(root: MappingNode, assignment: str) -> None:
    """Apply `--set path=value` to the tree: `space.training.epochs=3`, with list items by number.

    Raises:
        SpecError: If the assignment has no `=`, its value is not YAML, or its path goes through a single value.
    """
    require_assignment(assignment)
    path, _, text = assignment.partition("=")
    source = f"{SET}{assignment}"
    start = Place(source, 1, 1)
    filler = "_" * max(1, len(path) - 1)  # keeps the value in its original column
    entries = compose(f"{filler}: {text}", source).value
    if len(entries) != 1:
        raise SpecError([Problem(start, path, "must be set to one value on one line.")])
    ((_, node),) = entries
    here: Node = root
    *parents, last = path.split(".")
    for depth, part in enumerate(parents):
        child = _child(here, part)
        if child is None and isinstance(here, MappingNode):
            child = MappingNode("tag:yaml.org,2002:map", [], node.start_mark)
        elif isinstance(child, MappingNode | SequenceNode):  # a copy: an anchor may share the node
            child = type(child)(child.tag, list(child.value), child.start_mark)
        else:
            at, rule = ".".join(parents[: depth + 1]), "is a single value and has no keys"
            if isinstance(here, SequenceNode):
                at, rule = ".".join(parents[:depth]), "has no item with that number"
            raise SpecError([Problem(start, path, f"cannot be set: {at} {rule}.")])
        _put(here, part, child, _at(node, path, depth))
        here = child
    if not isinstance(here, MappingNode) and _child(here, last) is None:
        raise SpecError([Problem(start, path, f"cannot be set: {'.'.join(parents)} has no item with that number.")])
    _put(here, last, node, _at(node, path, len(parents)))


def require_assignment(text: str) -> None:
    """Check that `text` has the form `path=value`.

    Raises:
        SpecError: If it does not.
    """
    path, sign, _ = text.partition("=")
    if not sign or not all(path.split(".")) or path != path.strip():
        rule = "must be path=value without spaces around the =, as in --set space.training.epochs=3."
        raise SpecError([Problem(Place(f"{SET}{text}", 1, 1), "", rule)])


def _child(node: Node, part: str) -> Node | None:
    if isinstance(node, MappingNode):
        return next((value for key, value in node.value if key.value == part), None)
    if isinstance(node, SequenceNode) and part.isdecimal() and int(part) < len(node.value):
        item: Node = node.value[int(part)]
        return item
    return None


def _at(node: Node, path: str, depth: int) -> yaml.Mark:
    """Return the position of a part of the path in the assignment that set `node`."""
    column = len("".join(f"{part}." for part in path.split(".")[:depth]))
    return yaml.Mark(node.start_mark.name, column, 0, column, None, 0)


def _put(node: Node, part: str, child: Node, mark: yaml.Mark) -> None:
    if isinstance(node, SequenceNode):
        node.value[int(part)] = child
        return
    for place, (key, _) in enumerate(node.value):
        if key.value == part:
            node.value[place] = (key, child)
            return
    node.value.append((ScalarNode("tag:yaml.org,2002:str", part, mark), child))
