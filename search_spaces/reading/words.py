"""Parts of a file as messages show them, shortened if they are long."""

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.reading.document import value_of, written

LONGEST_SHOWN = 100
"""Largest number of characters of a file that a message shows in one place."""


def shown(node: Node) -> str:
    """Return the content of `node`, short enough for a message."""
    if isinstance(node, SequenceNode):
        return "a list"
    if isinstance(node, MappingNode):
        return cut("{" + ", ".join(f"{name.value}: ..." for name, _ in node.value[:LONGEST_SHOWN]) + "}")
    value = value_of(node)
    if value is None:
        return "null" if node.value else "nothing"
    return cut(repr(value) if isinstance(value, str) else str(node.value))


def cut(text: str) -> str:
    """Shorten a long text."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def label_of(option: Node, key: str | None) -> str:
    """Return the label of an option of an any_of: its kind."""
    for name, value in option.value if isinstance(option, MappingNode) else ():
        if name.value == (key or "name") and isinstance(value, ScalarNode):
            return cut(str(value.value))
    return "option"


def quoted(text: str) -> str:
    """Return a text in quotes, short enough for a message."""
    return cut(repr(text))


def listed(node: SequenceNode) -> str:
    """Return a list as a choice of its values, short enough for a message."""
    return cut(written({"choice": [value_of(item) for item in node.value[:LONGEST_SHOWN]]}))
