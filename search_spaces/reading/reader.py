"""Read a YAML tree with positions as a Pydantic model whose leaves may be domains, and collect every mistake.

The model is the only definition of a valid file: fields, limits, defaults and unions come from it.
"""

import math
import re
from collections import Counter
from collections.abc import Iterable

from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.base import decides, representative_values
from search_spaces.nodes import Branches, Fixed, Group, Leaf, SpaceNode
from search_spaces.reading.document import MOST_PROBLEMS, Place, Problem, SpecError, plain, value_of
from search_spaces.reading.fields import (
    Model,
    alternatives,
    discriminator_of,
    fields_of,
    is_valid,
    literal_of,
    literals_of,
    mistakes_in,
    models_by_kind,
    models_of,
    names_of,
    rule_of,
)
from search_spaces.reading.homes import Homes, replacing
from search_spaces.reading.likeness import alike, close, did_you_mean
from search_spaces.reading.ranges import DomainReader, Entries, entries_of, given
from search_spaces.reading.translations import FIELDS, field_hint, look_alike, plain_number
from search_spaces.reading.words import cut, label_of, listed, shown

MOST_OPTIONS = 1000
"""Largest number of options of an any_of; reading one takes as long as reading a small file."""


class Reader:
    """One pass over a file: the problems found, and the position of every path."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self.whole: dict[str, SpaceNode] = {}
        """Nodes read without a mistake, by path, even if something beside them is wrong."""
        self._places: dict[str, Place] = {}
        self._homes: Homes

    def stands(self, path: str) -> bool:
        """Return whether the file sets `path`."""
        return path in self._places

    def place(self, path: str) -> Place:
        """Return the position of `path`, or of the nearest path above it."""
        while path not in self._places:
            path = path.rpartition(".")[0]
        return self._places[path]

    def read(self, model: Model, node: Node, path: str = "", *, varying: str | None = None) -> SpaceNode | None:
        """Read `node` as `model`; return `None` if a mistake makes that impossible.

        Args:
            model: The expected model.
            node: The node in the file.
            path: Its full path.
            varying: The field below which domains and `any_of` are allowed; "" allows them here.
        """
        self._homes = Homes(model, node, path)
        return self._mapping((model,), None, node, path, varying)

    def _say(self, place: Node | Place, path: str, message: str) -> None:
        self.problems.append(Problem(place if isinstance(place, Place) else Place.of(place), path, message))
        self.require_few()

    def require_few(self) -> None:
        """Stop at `MOST_PROBLEMS` mistakes: nobody reads more, and each takes time to explain.

        Raises:
            SpecError: With the first `MOST_PROBLEMS`, if that many were found.
        """
        if len(self.problems) >= MOST_PROBLEMS:
            raise SpecError(self.problems[:MOST_PROBLEMS])

    def _mapping(
        self, models: tuple[Model, ...], key: str | None, node: Node, path: str, varying: str | None
    ) -> SpaceNode | None:
        self._places[path] = Place.of(node)
        if not isinstance(node, MappingNode):
            self._say(node, path, f"must be a mapping, got {shown(node)}; write {_example(models, key, node)}.")
            return None
        entries = entries_of(node)
        if "any_of" in entries:
            return self._any_of(models, key, node, path, varying)
        if key is None:
            return self._fields(models[0], models, None, node, path, varying=varying)
        said = key if key in entries else _misspelt(key, models, entries)
        picked = self._pick(models, key, entries, node, path, said=said, varying=varying)
        if picked is None:
            return None
        meant, sure = picked
        model = models_by_kind(models, key)[meant]
        if not sure:  # the mistake is reported; look for others as if it were fixed
            node = _corrected(node, key, meant, said)
        return self._fields(model, models, key, node, path, varying=varying, sure=sure)

    def _any_of(
        self, models: tuple[Model, ...], key: str | None, node: MappingNode, path: str, varying: str | None
    ) -> SpaceNode | None:
        entries = entries_of(node)
        name, options = entries["any_of"]
        if varying != "":
            self._say(name, path, "cannot vary: any_of is only allowed below space.")
            return None
        for other, (where, _) in entries.items():
            if other != "any_of":
                self._say(where, _join(path, other), "is not allowed beside any_of; move it into each option.")
        if not isinstance(options, SequenceNode) or not options.value:
            empty = isinstance(options, SequenceNode)
            got = "an empty list" if empty else shown(options)
            self._say(options, _join(path, "any_of"), f"must be a list of mappings, got {got}.")
            return None
        if len(options.value) > MOST_OPTIONS:
            rule = f"must have at most {MOST_OPTIONS:,} options, got {len(options.value):,}"
            self._say(options, _join(path, "any_of"), f"{rule}; use fewer options, with choices for their fields.")
            return None
        kinds = [label_of(option, key) for option in options.value]
        times = Counter(kinds)
        found: dict[str, SpaceNode | None] = {}
        for number, (kind, option) in enumerate(zip(kinds, options.value, strict=True)):
            label = kind if times[kind] == 1 else f"{kind}#{number + 1}"
            found[label] = self._mapping(models, key, option, f"{path}[{label}]", varying)
        right = {label: option for label, option in found.items() if option is not None}
        return Branches(path, right) if len(right) == len(found) and len(entries) == 1 else None

    def _pick(
        self,
        models: tuple[Model, ...],
        key: str,
        entries: Entries,
        node: Node,
        path: str,
        *,
        said: str | None,
        varying: str | None,
    ) -> tuple[str, bool] | None:
        """Return the intended kind, and whether the file says so exactly; `None` after a mistake that leaves it open.

        `said` is the field that names the kind, spelt correctly or not; `None` if no field does.
        """
        by_kind = models_by_kind(models, key)
        if said is None:
            return self._without_key(models, key, entries, node, path)
        where, value = entries[said]
        if said != key:
            self._say(where, _join(path, said), f"is not a field; did you mean {key!r}?")
        if isinstance(value, ScalarNode) and value.value in by_kind:
            return value.value, said == key
        here = f"{path}.{key}"
        if isinstance(value, MappingNode) and varying == "":
            self._say(value, here, f"cannot vary; write any_of: [{{{key}: ...}}, ...] in place of the whole {path}.")
            return None
        near = alike(value.value, by_kind) if isinstance(value, ScalarNode) else []
        near = [kind for kind in near if entries.keys() - {said} <= set(names_of(by_kind[kind]))] or near
        hint = f"; {did_you_mean(near)}" if near else "."
        self._say(value, here, f"must be one of {', '.join(by_kind)}; got {shown(value)}{hint}")
        return (near[0], False) if near else None

    def _without_key(
        self, models: tuple[Model, ...], key: str, entries: Entries, node: Node, path: str
    ) -> tuple[str, bool] | None:
        by_kind = models_by_kind(models, key)
        default, strange = _strange(key, models, entries)
        fit = [kind for kind, model in by_kind.items() if set(strange) <= set(names_of(model))]
        if default and not (strange and fit):
            return literal_of(default, key), True
        belongs = "belongs" if len(strange) == 1 else "belong"
        hint = f" ({cut(', '.join(strange))} {belongs} to {alternatives(fit)})" if strange and fit else ""
        self._say(node, path, f"must have a {key}: one of {', '.join(by_kind)}{hint}.")
        return (fit[0], False) if strange and len(fit) == 1 else None

    def _fields(
        self,
        model: Model,
        models: tuple[Model, ...],
        key: str | None,
        node: MappingNode,
        path: str,
        *,
        varying: str | None,
        sure: bool = True,
    ) -> SpaceNode | None:
        entries = entries_of(node)
        fields = fields_of(model)
        others = {name for other in models for name in names_of(other)} - fields.keys()
        doubtful = not sure and not others.isdisjoint(entries)  # the fields may be valid with another kind
        before = len(self.problems)
        meant = self._unknown(model, models, key, entries, path, doubtful=doubtful)
        for name, message in () if doubtful else mistakes_in(model, [*given(entries), *meant]).items():
            if name not in (*entries, *meant):
                self._say(node, _join(path, name) if name else path, message)
        whole = len(self.problems) == before and entries.keys() <= fields.keys()
        found: dict[str, SpaceNode] = {}
        if key and key not in entries:
            found[key] = Fixed(literal_of(model, key), is_default=True)
        for name, info in fields.items():
            here = _join(path, name)
            if name not in entries:
                if info.is_required():
                    if name not in meant and not doubtful:  # otherwise it is there, but misspelt
                        self._say(node, here, f"is missing; it must be {rule_of(info)}.")
                    whole = False
                continue
            below = "" if varying in ("", name) else None
            child = self._field(info, entries[name][1], here, below)
            if child is None:
                whole = False
            else:
                found[name] = self.whole[here] = child
        in_file_order = {name: found[name] for name in (key, *entries) if name in found}
        return Group(in_file_order) if whole else None

    def _unknown(
        self, model: Model, models: tuple[Model, ...], key: str | None, entries: Entries, path: str, *, doubtful: bool
    ) -> list[str]:
        """Report fields that the model does not have or cannot combine; return the fields that were probably meant."""
        fields = fields_of(model)
        wrong, meant = mistakes_in(model, given(entries)), []
        for name, (where, value) in entries.items():
            if name in wrong:
                self._say(where, _join(path, cut(name)), wrong[name] + replacing(model, name, entries))
            elif name not in fields:
                kinds = [literal_of(other, key) for other in models if name in names_of(other)]
                if kinds and doubtful:
                    continue
                owner = f" of {key} {literal_of(model, key)}".replace(" of name ", " of ") if key else ""
                guess = close(name, [field for field in fields if field not in entries]) or close(name, fields)
                hint = (
                    f"it belongs to {alternatives(kinds)}." if kinds else self._way_out(name, guess, where, value, path)
                )
                self._say(where, _join(path, cut(name)), f"is not a field{owner}; {hint or _valid(fields)}")
                meant += [guess] if guess else []
        return meant

    def _way_out(self, name: str, guess: str | None, where: Node, value: Node, path: str) -> str | None:
        """Return how to fix an unknown field: it is in the wrong place, misspelt, or another tool's."""
        ours = None if path else field_hint(name, value_of(value))
        here, place = _join(path, name), Place.of(where)
        if name not in FIELDS and (homes := self._homes.of(name)):
            return self._homes.move(homes, here, place)
        if guess or ours:
            return f"did you mean {guess!r}?" if guess else ours
        homes = self._homes.like(name)
        return self._homes.move(homes, here, place) if homes else None

    def _field(self, info: FieldInfo, node: Node, path: str, varying: str | None) -> SpaceNode | None:
        self._places[path] = Place.of(node)
        models, optional = models_of(info)
        if not models:
            return self._leaf(info, node, path, varying)
        if optional and value_of(node) is None:
            return Fixed(None, info.default is None)
        return self._mapping(models, discriminator_of(info), node, path, varying)

    def _leaf(self, info: FieldInfo, node: Node, path: str, varying: str | None) -> SpaceNode | None:
        if isinstance(node, ScalarNode):
            value = value_of(node)
            if is_valid(info, value):
                return Fixed(value, value == info.default)
            self._refuse(info, node, path)
            return None
        if isinstance(node, SequenceNode):
            way = f"; to try each, write {listed(node)}" if varying == "" else ""
            self._say(node, path, f"must be {rule_of(info)}, got a list{way}.")
            return None
        if varying != "" or not isinstance(node, MappingNode):
            self._say(node, path, f"must be {rule_of(info)}, got a mapping; only fields below space may vary.")
            return None
        domain = DomainReader(self._say, self._refuse).read(info, node, path)
        if domain is None:
            return None
        return Leaf(path, domain, representative_values(info.metadata, domain), decides(info.metadata))

    def _refuse(self, info: FieldInfo, node: Node, path: str) -> None:
        """Report why a field does not accept a value."""
        value = value_of(node)
        hint = _did_you_mean(node, [str(word) for word in literals_of(info)])
        if isinstance(value, float) and not math.isfinite(value):
            hint = "; it must be finite."
        elif isinstance(value, str) and (meant := look_alike(value)):
            hint = f"; {meant}"
        elif isinstance(node, ScalarNode) and isinstance(value, str) and is_valid(info, plain(value)):
            hint = "; leave out the quotes."
        elif isinstance(value, str) and is_valid(info, dashed := _ODD.sub("-", value)):
            hint = f"; write {dashed}."
        elif (number := plain_number(value)) is not None and is_valid(info, number):
            hint = f"; write {number}."
        elif isinstance(node, ScalarNode) and value is not None and is_valid(info, node.value):
            hint = f"; put it in quotes: {node.value!r}."
        self._say(node, path, f"must be {rule_of(info)}; got {shown(node)}{hint}")


_ODD = re.compile(r"[^A-Za-z0-9._-]+")
"""Characters that a name must not contain."""


def _valid(fields: Iterable[str]) -> str:
    return f"valid fields are {', '.join(fields)}."


def _strange(key: str, models: tuple[Model, ...], entries: Entries) -> tuple[Model | None, list[str]]:
    """Return the model that needs no discriminator, if any, and the fields that it does not have."""
    default = next((m for m in models if m.model_fields[key].default is not PydanticUndefined), None)
    return default, [name for name in entries if default is None or name not in names_of(default)]


def _misspelt(key: str, models: tuple[Model, ...], entries: Entries) -> str | None:
    """Return the field that is a misspelt discriminator."""
    return next((name for name in _strange(key, models, entries)[1][:MOST_PROBLEMS] if close(name, [key])), None)


def _corrected(node: MappingNode, key: str, meant: str, wrong: str | None) -> MappingNode:
    """Return the mapping with the right discriminator in place of the wrong one."""
    kept = [entry for entry in node.value if entry[0].value != wrong]
    value = ScalarNode("tag:yaml.org,2002:str", meant, node.start_mark)
    return MappingNode(
        node.tag, [(ScalarNode("tag:yaml.org,2002:str", key, node.start_mark), value), *kept], node.start_mark
    )


def _did_you_mean(node: Node, words: Iterable[str]) -> str:
    near = alike(node.value, words) if isinstance(node, ScalarNode) else []
    return f"; {did_you_mean(near)}" if near else "."


def _example(models: tuple[Model, ...], key: str | None, node: Node) -> str:
    if key and isinstance(node, ScalarNode) and node.value in models_by_kind(models, key):
        return f"{{{key}: {node.value}}}"
    name, info = next(iter(fields_of(models[0]).items()))
    value = node.value if not key and isinstance(node, ScalarNode) and is_valid(info, value_of(node)) else "..."
    return f"{{{key or name}: {value}}}"


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
