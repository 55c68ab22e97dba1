"""From YAML text to a tree of nodes that know their line and column, in time and depth that the text cannot stretch.

YAML is read as version 1.2 has it where the two differ in ways that bite: `1e-4` is a number, `on` and `no` are text.
"""

import io
import math
import re
from typing import Any

import yaml
from yaml.composer import ComposerError
from yaml.constructor import SafeConstructor
from yaml.nodes import CollectionNode, MappingNode, Node, ScalarNode, SequenceNode
from yaml.parser import Parser
from yaml.reader import Reader
from yaml.resolver import BaseResolver
from yaml.scanner import Scanner

try:
    from yaml._yaml import CParser as _CParser
except ImportError:  # PyYAML was built without libyaml
    _CParser = None  # type: ignore[assignment, misc]

MAX_DEPTH = 40
"""Mappings and lists inside each other; a sweep needs about ten."""

MOST_NODES = 250_000
"""Values of a file of at most a megabyte: with three letters for each, some would have to be equal."""

_LARGE = 30_000
"""Characters from which a text is parsed by libyaml: twenty times as fast, and with fewer words for its mistakes."""

_STR = "tag:yaml.org,2002:str"


class TooDeepError(yaml.MarkedYAMLError):
    """Mappings and lists stand more than `MAX_DEPTH` deep inside each other."""


class TooManyError(yaml.MarkedYAMLError):
    """There are more than `MOST_NODES` values."""


class Resolver(BaseResolver):
    """Which tag a value has that none is written for."""

    yaml_implicit_resolvers: dict[str, list[tuple[str, re.Pattern[str]]]] = {}  # noqa: RUF012 - PyYAML's own protocol


Resolver.add_implicit_resolver("tag:yaml.org,2002:null", re.compile(r"^(?:~|null|Null|NULL|)$"), ["~", "n", "N", ""])
Resolver.add_implicit_resolver(
    "tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|TRUE|false|False|FALSE)$"), [*"tTfF"]
)
Resolver.add_implicit_resolver("tag:yaml.org,2002:int", re.compile(r"^[-+]?[0-9]+$"), [*"-+0123456789"])
Resolver.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^[-+]?(?:(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?|\.inf|\.Inf|\.INF)$|^\.(?:nan|NaN|NAN)$"
    ),
    [*"-+.0123456789"],
)
Resolver.add_implicit_resolver("tag:yaml.org,2002:merge", re.compile(r"^<<$"), ["<"])

_RESOLVER = Resolver()
_TAGGED = Resolver.yaml_implicit_resolvers


class _Parser(Reader, Scanner, Parser):
    def __init__(self, text: str, source: str) -> None:
        Reader.__init__(self, text)
        Scanner.__init__(self)
        Parser.__init__(self)
        self.name = source


class _Named(io.StringIO):
    name = ""


def parse(text: str, source: str, most_nodes: float = math.inf) -> Node | None:
    """The tree of the only document of a text; `None` if there is none. Aliases are the node that they stand for.

    Raises:
        yaml.reader.ReaderError: If it holds a character that YAML does not allow.
        TooDeepError: If it is too deep.
        TooManyError: If it has more than `most_nodes` values.
        yaml.MarkedYAMLError: If it is no YAML.
    """
    if Reader.NON_PRINTABLE.search(text) or _CParser is None or len(text) < _LARGE:
        return _Composer(_Parser(text, source), most_nodes).tree()
    stream = _Named(text)
    stream.name = source
    return _Composer(_CParser(stream), most_nodes).tree()


def own_tag(kind: type[Node], value: Any = None, implicit: Any = (True, False)) -> str:  # noqa: ANN401 - PyYAML's own
    """The tag that a node has if none is written; `implicit` says whether it stands there plain, or in quotes."""
    tag: str = _RESOLVER.resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
    return tag


def _plain_tag(value: str) -> str:
    """The same for what stands there plain, three times as fast."""
    return next((tag for tag, pattern in _TAGGED.get(value[:1], ()) if pattern.match(value)), _STR)


def odd_tag(node: Node) -> str | None:
    """The tag of a node that has one it would not have by itself; `!!str` is fine, it makes text of a number."""
    tag: str | None = getattr(node, "odd_tag", None)
    return tag


def flatten(node: MappingNode) -> None:
    """Bring what merge keys name into a mapping.

    Raises:
        yaml.constructor.ConstructorError: If that is no mapping.
    """
    SafeConstructor().flatten_mapping(node)


class _Composer:
    """Makes nodes of a parser's events with a stack of its own: PyYAML's recurse, and in C end the process."""

    def __init__(self, parser: Any, most_nodes: float) -> None:  # noqa: ANN401 - either of PyYAML's
        self._parser = parser
        self._left = most_nodes
        self._anchors: dict[str, Node] = {}
        self._open: list[CollectionNode] = []
        self._root: Node | None = None
        self._key: list[Node | None] = []  # of each open mapping, the key that waits for its value

    def tree(self) -> Node | None:
        """The tree of the events."""
        get_event, documents = self._parser.get_event, 0
        while True:
            event = get_event()
            kind = type(event)
            if kind is yaml.ScalarEvent:
                self._take(self._scalar(event), event)
            elif kind is yaml.SequenceStartEvent or kind is yaml.MappingStartEvent:
                node = (MappingNode if kind is yaml.MappingStartEvent else SequenceNode)(_STR, [], event.start_mark)
                _tag(node, event, own_tag(type(node)))
                self._take(node, event)
                self._open.append(node)
                self._key.append(None)
            elif kind is yaml.SequenceEndEvent or kind is yaml.MappingEndEvent:
                self._open.pop()
                self._key.pop()
            elif kind is yaml.AliasEvent:
                if event.anchor not in self._anchors:
                    raise ComposerError(None, None, f"found undefined alias {event.anchor!r}", event.start_mark)
                self._put(self._anchors[event.anchor], event)
            elif kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    expected = "expected a single document in the stream"
                    first = self._root.start_mark if self._root else None
                    raise ComposerError(expected, first, "but found another document", event.start_mark)
            elif kind is yaml.StreamEndEvent:
                return self._root

    def _scalar(self, event: Any) -> ScalarNode:  # noqa: ANN401 - PyYAML's
        value, style = event.value, event.style or None
        node = ScalarNode(_STR, value, event.start_mark, None, style)
        own = _STR if style else _plain_tag(value)
        _tag(node, event, own)
        return node

    def _take(self, node: Node, event: Any) -> None:  # noqa: ANN401 - PyYAML's
        if event.anchor is not None:
            if event.anchor in self._anchors:
                found = f"found duplicate anchor {event.anchor!r}; first occurrence"
                raise ComposerError(
                    found, self._anchors[event.anchor].start_mark, "second occurrence", event.start_mark
                )
            self._anchors[event.anchor] = node
        self._put(node, event)

    def _put(self, node: Node, event: Any) -> None:  # noqa: ANN401 - PyYAML's
        """Put a node where it belongs."""
        self._left -= 1
        if self._left < 0:
            raise TooManyError(problem_mark=event.start_mark)
        if not self._open:
            self._root = node
            return
        above = self._open[-1]
        is_key = False
        if type(above) is SequenceNode:
            above.value.append(node)
        elif (key := self._key[-1]) is None:
            self._key[-1] = node
            is_key = type(node) is ScalarNode
        else:
            above.value.append((key, node))
            self._key[-1] = None
        if len(self._open) >= MAX_DEPTH and not is_key:
            raise TooDeepError(problem_mark=event.start_mark)


def _tag(node: Node, event: Any, own: str) -> None:  # noqa: ANN401 - PyYAML's
    """Give a node its tag, where `own` is the one that it has if none is written."""
    if event.tag is None:
        node.tag = own
        return
    node.tag = own_tag(type(node), node.value, event.implicit) if event.tag == "!" else event.tag
    if node.tag not in (own, _STR):
        vars(node)["odd_tag"] = node.tag.replace("tag:yaml.org,2002:", "!!")
