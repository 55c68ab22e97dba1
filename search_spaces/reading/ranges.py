"""Read the domains of leaves, and report mistakes in them."""

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from pydantic.fields import FieldInfo
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.domains import DOMAIN_KEYS, Choice, Domain, FloatRange, IntRange, Scalar
from search_spaces.reading.document import value_of, written
from search_spaces.reading.fields import forms_of, is_valid, rule_of, types_of, validity
from search_spaces.reading.likeness import close, nearest
from search_spaces.reading.translations import choice_hint, domain_hint, list_hint, step_hint, zero_hint
from search_spaces.reading.words import LONGEST_SHOWN, cut, shown

Entries: TypeAlias = dict[str, tuple[Node, Node]]


class DomainReader:
    """Read domains on behalf of a reader, which collects the mistakes and explains invalid values."""

    def __init__(self, say: Callable[[Node, str, str], None], refuse: Callable[[FieldInfo, Node, str], None]) -> None:
        self._say = say
        self._refuse = refuse

    def read(self, info: FieldInfo, node: MappingNode, path: str) -> Domain | None:
        """Return the domain at a path, or `None` after reporting every mistake."""
        entries = entries_of(node)
        kind = self._kind(info, node, entries, path)
        if kind is None or not self._in_brackets(kind, info, entries, path) or not self._goes_with(kind, entries, path):
            return None
        items = self._items(kind, entries[kind][1], path)
        if items is None:
            return None
        if kind == "choice":
            return self._choice(info, items, path)
        found = list(self._values(info, items, path))
        if not all(valid for *_, valid in found):
            return None
        return self._range(kind, [value for _, value, _ in found], node, info, path)

    def _kind(self, info: FieldInfo, node: MappingNode, entries: Entries, path: str) -> str | None:
        kinds = [kind for kind in DOMAIN_KEYS if kind in entries]
        if len(kinds) == 1:
            return kinds[0]
        unknown = next((name for name in entries if name not in DOMAIN_KEYS), None)
        ours = None
        if not kinds and len(entries) <= LONGEST_SHOWN:
            ours = _in_our_words(info, entries)
        if "any_of" in entries:
            hint = f"any_of is for mappings, choice for values{f'; write {ours}' if ours else ''}."
        elif ours:
            hint = f"write {ours}."
        elif kinds or unknown is None:
            hint = f"give one of {', '.join(forms_of(info))}."
        elif meant := close(unknown, DOMAIN_KEYS):
            hint = f"did you mean {meant!r}?"
        else:
            hint = f"write {{{'}, or {'.join(forms_of(info))}}}."
        where = node if kinds or unknown is None else entries[unknown][0]
        self._say(where, path, f"must be {rule_of(info)}, or a domain; got {shown(node)}; {hint}")
        return None

    def _in_brackets(self, kind: str, info: FieldInfo, entries: Entries, path: str) -> bool:
        """Return whether the domain's list has brackets, unlike `{int: 16, 64}`."""
        bounds = entries[kind][1]
        if not isinstance(bounds, ScalarNode) or len(entries) > LONGEST_SHOWN:
            return True
        ours = _in_our_words(info, entries)
        if ours is None:
            return True
        got = ", ".join([bounds.value, *(name for name, (_, value) in entries.items() if value_of(value) is None)])
        self._say(bounds, f"{path}.{kind}", f"must be {_FORM[kind]} in brackets, got {cut(got)}; write {ours}.")
        return False

    def _goes_with(self, kind: str, entries: Entries, path: str) -> bool:
        """Return whether the mapping has only keys that the kind allows."""
        allowed = {"int": ("int", "log", "step")}.get(kind, (kind,))
        for name, (where, _) in entries.items():
            if name in allowed:
                continue
            ours = _stepped(entries, kind) if name == "step" else None
            hint = "write log_uniform" if (kind, name) == ("uniform", "log") else nearest(name, allowed).rstrip(".")
            hint = f"write {ours}" if ours else hint
            self._say(
                where, f"{path}.{name}", f"cannot be combined with {kind}; {hint}{'' if hint[-1] == '?' else '.'}"
            )
            return False
        return True

    def _items(self, kind: str, bounds: Node, path: str) -> SequenceNode | None:
        """Return the list of a domain if it is not empty and contains no domains."""
        if not isinstance(bounds, SequenceNode) or not bounds.value:
            got = "an empty list" if isinstance(bounds, SequenceNode) else shown(bounds)
            self._say(bounds, f"{path}.{kind}", f"must be {_FORM[kind]}, got {got}.")
            return None
        domains = [item for item in bounds.value if isinstance(item, MappingNode)]
        if kind == "choice" and domains:
            ours = choice_hint([value_of(item) for item in bounds.value])
            way = f"write {ours}" if ours else "list the values to try"
            self._say(domains[0], path, f"lists {shown(domains[0])}, but a choice contains only values; {way}.")
            return None
        return bounds

    def _choice(self, info: FieldInfo, node: SequenceNode, path: str) -> Domain | None:
        seen: dict[Scalar, None] = {}
        whole = True
        for item, value, valid in self._values(info, node, path):
            if not valid:
                whole = False
                continue
            if value in seen:
                self._say(item, path, f"lists {cut(written(value))} twice; keep one of them.")
                return None
            seen[value] = None
        return Choice(tuple(seen)) if whole else None

    def _values(self, info: FieldInfo, items: SequenceNode, path: str) -> Iterator[tuple[Node, Any, bool]]:
        """Yield each item, its value, and whether the field accepts it; report why not."""
        holds = validity(info)
        for item in items.value:
            value = value_of(item)
            valid = isinstance(item, ScalarNode) and holds(value)
            if not valid:
                self._refuse(info, item, path)
            yield item, value, valid

    def _range(self, kind: str, values: list[Any], domain: MappingNode, info: FieldInfo, path: str) -> Domain | None:
        entries = entries_of(domain)
        node = entries[kind][1]
        numeric = {int, float} & set(types_of(info.annotation))
        got = cut(written(values[:LONGEST_SHOWN]))
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values) or not numeric:
            self._say(node, path, f"must be {rule_of(info)}: {kind} is for numbers; write {{choice: [...]}}.")
            return None
        if (kind == "int") != (int in numeric):
            other = f"int: {got}" if int in numeric else f"uniform: {got}"
            other += ", log: true" if kind == "log_uniform" else ""
            self._say(node, path, f"is {rule_of(info)}, so {kind} does not fit; write {{{other}}}.")
            return None
        if len(values) != 2 or not values[0] < values[1]:  # noqa: PLR2004
            self._say(node, f"{path}.{kind}", f"must be [low, high] with low below high, got {got}.")
            return None
        low, high = values
        options = {name: entries[name][1] for name in ("log", "step") if name in entries}
        log = value_of(options["log"]) if "log" in options else kind == "log_uniform"
        if not isinstance(log, bool):
            self._say(options["log"], f"{path}.log", f"must be true or false, got {shown(options['log'])}.")
        elif log and low <= 0:
            way = f"; {zero_hint(float(high))}" if low == 0 and kind == "log_uniform" else ""
            self._say(node, f"{path}.{kind}", f"must start above 0 for a logarithm, got {got}{way}.")
        elif kind != "int":
            return FloatRange(float(low), float(high), log=log)
        elif (step := self._step(options.get("step"), high - low, log, path)) is not None:
            strange = [number for number in range(low, high + 1, step)[:2] if not is_valid(info, number)]
            if not strange:
                last = high - (high - low) % step
                return IntRange(low, last, log=log, step=step, missed=None if last == high else high)
            way = "write {choice: [...]}" if log else "add step: 2, or write {choice: [...]}"
            self._say(node, path, f"must be {rule_of(info)}; this range contains {strange[0]}; {way}.")
        return None

    def _step(self, node: Node | None, width: int, log: bool, path: str) -> int | None:
        if node is None:
            return 1
        step = value_of(node)
        if log:
            self._say(node, f"{path}.step", "cannot be combined with log; leave out one of them.")
        elif isinstance(step, bool) or not isinstance(step, int) or not 1 <= step <= width:
            rule = f"must be a whole number, 1 to {width} (high - low)"
            self._say(node, f"{path}.step", f"{rule}, got {shown(node)}.")
        else:
            return step
        return None


_FORM = {kind: "a list [a, b, ...]" if kind == "choice" else "a list [low, high]" for kind in DOMAIN_KEYS}


def _in_our_words(info: FieldInfo, entries: Entries) -> str | None:
    """Return the entries in our syntax, if they are understood."""
    content, whole = {name: value_of(value) for name, (_, value) in entries.items()}, int in types_of(info.annotation)
    return domain_hint(content, whole=whole) or list_hint(content, whole=whole)


def _stepped(entries: Entries, kind: str) -> str | None:
    """Return a range of real numbers with a step as a list."""
    ends = value_of(entries[kind][1])
    if not isinstance(ends, list) or len(ends) != 2 or not all(isinstance(end, int | float) for end in ends):  # noqa: PLR2004
        return None
    return step_hint(float(ends[0]), float(ends[1]), value_of(entries["step"][1]))


def given(entries: Entries) -> list[str]:
    """Return the fields with a value other than null."""
    return [
        name for name, (_, value) in entries.items() if not isinstance(value, ScalarNode) or value_of(value) is not None
    ]


def entries_of(node: MappingNode) -> Entries:
    """Return the fields of a mapping: name node and value node, by name."""
    return {name.value: (name, value) for name, value in node.value}
