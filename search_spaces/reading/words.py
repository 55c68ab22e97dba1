"""What messages repeat of a file, short enough to be read."""

from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.reading.document import value_of, written

LONGEST_SHOWN = 100
"""Characters of a file that a message repeats in one place."""


def shown(node: Node) -> str:
    """What stands at `node`, short enough for a message."""
    if isinstance(node, SequenceNode):
        return "a list"
    if isinstance(node, MappingNode):
        return cut("{" + ", ".join(f"{name.value}: ..." for name, _ in node.value[:LONGEST_SHOWN]) + "}")
    value = value_of(node)
    if value is None:
        return "null" if node.value else "nothing"
    return cut(repr(value) if isinstance(value, str) else str(node.value))


def cut(text: str) -> str:
    """Its beginning, where it is long."""
    return text if len(text) <= LONGEST_SHOWN else f"{text[:LONGEST_SHOWN]}..."


def label_of(option: Node, key: str | None) -> str:
    """What an option of an any_of is called: its kind."""
    for name, value in option.value if isinstance(option, MappingNode) else ():
        if name.value == (key or "name") and isinstance(value, ScalarNode):
            return cut(str(value.value))
    return "option"


def quoted(text: str) -> str:
    """A text in quotes, short enough for a message."""
    return cut(repr(text))


def listed(node: SequenceNode) -> str:
    """A list as a choice of its values, short enough for a message."""
    return cut(written({"choice": [value_of(item) for item in node.value[:LONGEST_SHOWN]]}))
