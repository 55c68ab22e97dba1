"""Parse YAML text into a tree of nodes with line and column, with bounded time and depth for any text.

Where YAML 1.1 and 1.2 differ in surprising ways, 1.2 applies: `1e-4` is a number, `on` and `no` are text.
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
"""Largest nesting depth of mappings and lists; a sweep needs about ten levels."""

MOST_NODES = 250_000
"""Largest number of values in a file of at most a megabyte: with three letters for each, some would be equal."""

_LARGE = 30_000
"""Texts with this many characters are parsed by libyaml: it is twenty times as fast, but its messages say less."""

_STR = "tag:yaml.org,2002:str"


class TooDeepError(yaml.MarkedYAMLError):
    """Mappings and lists are nested more than `MAX_DEPTH` levels deep."""


class TooManyError(yaml.MarkedYAMLError):
    """The text has more than `MOST_NODES` values."""


class Resolver(BaseResolver):
    """The tag of a value without an explicit tag."""

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
    """Return the tree of the only document of a text; `None` for an empty text. An alias is the node it refers to.

    Raises:
        yaml.reader.ReaderError: If it contains a character that YAML does not allow.
        TooDeepError: If it is nested too deeply.
        TooManyError: If it has more than `most_nodes` values.
        yaml.MarkedYAMLError: If it is not YAML.
    """
    if Reader.NON_PRINTABLE.search(text) or _CParser is None or len(text) < _LARGE:
        return _Composer(_Parser(text, source), most_nodes).tree()
    stream = _Named(text)
    stream.name = source
    return _Composer(_CParser(stream), most_nodes).tree()


def own_tag(kind: type[Node], value: Any = None, implicit: Any = (True, False)) -> str:  # noqa: ANN401 - PyYAML's own
    """Return the tag of a node without an explicit tag; `implicit` says whether it is plain or in quotes."""
    tag: str = _RESOLVER.resolve(kind, value, implicit)  # type: ignore[no-untyped-call]
    return tag


def _plain_tag(value: str) -> str:
    """Do the same for a plain value, three times as fast."""
    return next((tag for tag, pattern in _TAGGED.get(value[:1], ()) if pattern.match(value)), _STR)


def odd_tag(node: Node) -> str | None:
    """Return an explicit tag that changes the node; `!!str` is allowed, because it makes a number text."""
    tag: str | None = getattr(node, "odd_tag", None)
    return tag


def flatten(node: MappingNode) -> None:
    """Expand the merge keys of a mapping.

    Raises:
        yaml.constructor.ConstructorError: If a merge key does not refer to a mapping.
    """
    SafeConstructor().flatten_mapping(node)


class _Composer:
    """Build nodes from a parser's events with an explicit stack. PyYAML recurses, and its C code may crash."""

    def __init__(self, parser: Any, most_nodes: float) -> None:  # noqa: ANN401 - either of PyYAML's
        self._parser = parser
        self._left = most_nodes
        self._anchors: dict[str, Node] = {}
        self._open: list[CollectionNode] = []
        self._root: Node | None = None
        self._key: list[Node | None] = []  # for each open mapping, the key without a value so far

    def tree(self) -> Node | None:
        """Return the tree of the events."""
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
        """Insert a node into its parent."""
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
    """Set the tag of a node; `own` is its tag without an explicit one."""
    if event.tag is None:
        node.tag = own
        return
    node.tag = own_tag(type(node), node.value, event.implicit) if event.tag == "!" else event.tag
    if node.tag not in (own, _STR):
        vars(node)["odd_tag"] = node.tag.replace("tag:yaml.org,2002:", "!!")
