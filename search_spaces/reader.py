"""Reads a positioned YAML tree as a Pydantic model whose leaves may be domains, and collects every mistake.

The model is the only definition of what may stand where: fields, limits, defaults and unions come from it.
"""

import json
import math
import types
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from search_spaces.document import Place, Problem, nearest, value_of
from search_spaces.domains import DOMAIN_KEYS, Choice, Chooser, Domain, FloatRange, IntRange, Scalar
from search_spaces.trial import Rule

Model: TypeAlias = type[BaseModel]


@dataclass(frozen=True)
class Fixed:
    """A leaf with one value."""

    value: object


@dataclass(frozen=True)
class Leaf:
    """A leaf with a domain."""

    path: str
    domain: Domain


@dataclass(frozen=True)
class Group:
    """A mapping of fields."""

    fields: dict[str, "SpaceNode"]


@dataclass(frozen=True)
class Branches:
    """An any_of: one of several mappings, by label."""

    path: str
    options: dict[str, "SpaceNode"]


SpaceNode: TypeAlias = Fixed | Leaf | Group | Branches


def resolve(node: SpaceNode, chooser: Chooser) -> Any:  # noqa: ANN401 - plain data, for Pydantic
    """The plain data that `chooser` makes of a space."""
    if isinstance(node, Fixed):
        return node.value
    if isinstance(node, Leaf):
        return chooser.choose(node.path, node.domain)
    if isinstance(node, Group):
        return {name: resolve(child, chooser) for name, child in node.fields.items()}
    label = chooser.choose(node.path, Choice(tuple(node.options)))
    return resolve(node.options[str(label)], chooser)


def leaves(node: SpaceNode) -> Iterator[Leaf]:
    """Every domain below `node`, branch choices included as choices among labels; in file order."""
    if isinstance(node, Leaf):
        yield node
    elif isinstance(node, Group):
        for child in node.fields.values():
            yield from leaves(child)
    elif isinstance(node, Branches):
        yield Leaf(node.path, Choice(tuple(node.options)))
        for child in node.options.values():
            yield from leaves(child)


class Reader:
    """One reading of a file: the problems found, and where every path stands."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._places: dict[str, Place] = {}

    def place(self, path: str) -> Place:
        """Where `path` stands, or the nearest path above it."""
        while path not in self._places:
            path = path.rpartition(".")[0]
        return self._places[path]

    def read(self, model: Model, node: Node, path: str = "", *, varying: str | None = None) -> SpaceNode | None:
        """Read `node` as `model`; `None` if a mistake leaves nothing to go on with.

        Args:
            model: What must stand here.
            node: What stands here.
            path: Its full path.
            varying: The field below which domains and `any_of` may stand; "" means here already.
        """
        return self._mapping((model,), None, node, path, varying)

    def _say(self, place: Node | Place, path: str, message: str) -> None:
        self.problems.append(Problem(place if isinstance(place, Place) else Place.of(place), path, message))

    def _mapping(
        self, models: tuple[Model, ...], key: str | None, node: Node, path: str, varying: str | None
    ) -> SpaceNode | None:
        self._places[path] = Place.of(node)
        if not isinstance(node, MappingNode):
            self._say(node, path, f"must be a mapping, got {shown(node)}; write {_example(models)}.")
            return None
        entries = _entries(node)
        if "any_of" in entries:
            return self._any_of(models, key, node, path, varying)
        model = models[0] if key is None else self._pick(models, key, entries, node, path)
        return None if model is None else self._fields(model, key, node, path, varying)

    def _any_of(
        self, models: tuple[Model, ...], key: str | None, node: MappingNode, path: str, varying: str | None
    ) -> SpaceNode | None:
        entries = _entries(node)
        name, options = entries["any_of"]
        if varying != "":
            self._say(name, path, "cannot vary: any_of may stand below space only.")
            return None
        if len(entries) > 1:
            other = next(other for other in entries if other != "any_of")
            self._say(entries[other][0], f"{path}.{other}", "stands beside any_of; move it into each of its options.")
            return None
        if not isinstance(options, SequenceNode) or not options.value:
            self._say(options, f"{path}.any_of", f"must be a list of mappings, got {shown(options)}.")
            return None
        kinds = [_kind(option, key) for option in options.value]
        found: dict[str, SpaceNode | None] = {}
        for number, option in enumerate(options.value):
            kind = kinds[number]
            label = kind if kinds.count(kind) == 1 else f"{kind}#{number + 1}"
            found[label] = self._mapping(models, key, option, f"{path}[{label}]", varying)
        whole = {label: option for label, option in found.items() if option is not None}
        return Branches(path, whole) if len(whole) == len(found) else None

    def _pick(
        self, models: tuple[Model, ...], key: str, entries: dict[str, tuple[Node, Node]], node: Node, path: str
    ) -> Model | None:
        by_kind = {literal: model for model in models for literal in get_args(model.model_fields[key].annotation)}
        if key not in entries:
            default = [m for m in models if m.model_fields[key].default is not PydanticUndefined]
            if default:
                return default[0]
            self._say(node, path, f"must say its {key}: one of {', '.join(by_kind)}.")
            return None
        value = entries[key][1]
        if isinstance(value, ScalarNode) and value.value in by_kind:
            return by_kind[value.value]
        here = f"{path}.{key}"
        if isinstance(value, MappingNode):
            self._say(value, here, f"cannot vary; write any_of: [{{{key}: ...}}, ...] in place of the whole {path}.")
        else:
            hint = nearest(str(value.value), by_kind) if isinstance(value, ScalarNode) else ""
            self._say(value, here, f"must be one of {', '.join(by_kind)}; got {shown(value)}; {hint}")
        return None

    def _fields(
        self,
        model: Model,
        key: str | None,
        node: MappingNode,
        path: str,
        varying: str | None,
    ) -> SpaceNode | None:
        entries = _entries(node)
        fields = {info.alias or name: info for name, info in model.model_fields.items()}
        whole = True
        for name, (where, _) in entries.items():
            if name not in fields:
                owner = f" of {key} {_literal(model, key)}" if key else ""
                self._say(where, _join(path, name), f"is not a field{owner}; {nearest(name, fields)}")
                whole = False
        found: dict[str, SpaceNode] = {}
        for name, info in fields.items():
            here = _join(path, name)
            if name not in entries:
                if info.is_required():
                    self._say(node, here, f"is missing; it must be {rule_of(info)}.")
                    whole = False
                continue
            below = "" if varying in ("", name) else None
            child = self._field(info, entries[name][1], here, below)
            if child is None:
                whole = False
            else:
                found[name] = child
        in_file_order = {name: found[name] for name in entries if name in found}
        return Group(in_file_order) if whole else None

    def _field(self, info: FieldInfo, node: Node, path: str, varying: str | None) -> SpaceNode | None:
        self._places[path] = Place.of(node)
        models, optional = models_of(info.annotation)
        if not models:
            return self._leaf(info, node, path, varying)
        if optional and value_of(node) is None:
            return Fixed(None)
        return self._mapping(models, _discriminator(info), node, path, varying)

    def _leaf(self, info: FieldInfo, node: Node, path: str, varying: str | None) -> SpaceNode | None:
        if isinstance(node, ScalarNode):
            return Fixed(value_of(node)) if self._valid(info, node, path) else None
        if isinstance(node, SequenceNode):
            way = f"; to try each, write {{choice: {value_of(node)}}}" if varying == "" else ""
            self._say(node, path, f"must be {rule_of(info)}, got a list{way}.")
            return None
        if varying != "" or not isinstance(node, MappingNode):
            self._say(node, path, f"must be {rule_of(info)}, got a mapping; only fields below space may vary.")
            return None
        domain = self._domain(info, node, path)
        return None if domain is None else Leaf(path, domain)

    def _valid(self, info: FieldInfo, node: Node, path: str) -> bool:
        value = value_of(node)
        if isinstance(node, ScalarNode) and is_valid(info, value):
            return True
        words = [str(word) for word in _literals(info)]
        hint = f"; {nearest(str(value), words)}" if words and isinstance(value, str) else "."
        self._say(node, path, f"must be {rule_of(info)}; got {shown(node)}{hint}")
        return False

    def _domain(self, info: FieldInfo, node: MappingNode, path: str) -> Domain | None:
        entries = _entries(node)
        kinds = [kind for kind in DOMAIN_KEYS if kind in entries]
        if len(kinds) != 1:
            unknown = next((name for name in entries if name not in DOMAIN_KEYS), "")
            hint = nearest(unknown, DOMAIN_KEYS) if unknown and not kinds else f"give one of {', '.join(DOMAIN_KEYS)}."
            self._say(node, path, f"must be {rule_of(info)}, or a domain; got {shown(node)}; {hint}")
            return None
        (kind,) = kinds
        allowed = {"int": ("int", "log", "step")}.get(kind, (kind,))
        for name, (where, _) in entries.items():
            if name not in allowed:
                self._say(where, f"{path}.{name}", f"does not go with {kind}; {nearest(name, allowed)}")
                return None
        bounds = entries[kind][1]
        if not isinstance(bounds, SequenceNode) or not bounds.value:
            form = "[a, b, ...]" if kind == "choice" else "[low, high]"
            self._say(bounds, f"{path}.{kind}", f"must be a list {form}, got {shown(bounds)}.")
            return None
        valid = [self._valid(info, item, path) for item in bounds.value]
        if not all(valid):
            return None
        values = [value_of(item) for item in bounds.value]
        if kind == "choice":
            return self._choice(values, bounds, path)
        return self._range(kind, values, node, info, path)

    def _choice(self, values: list[Any], node: SequenceNode, path: str) -> Domain | None:
        for number, value in enumerate(values):
            if value in values[:number]:
                self._say(node.value[number], path, f"lists {value!r} twice; keep one of them.")
                return None
        return Choice(tuple(values))

    def _range(self, kind: str, values: list[Any], domain: MappingNode, info: FieldInfo, path: str) -> Domain | None:
        entries = _entries(domain)
        node = entries[kind][1]
        numeric = {int, float} & set(_plain_types(info.annotation))
        if any(isinstance(value, bool) or not isinstance(value, int | float) for value in values) or not numeric:
            self._say(node, path, f"must be {rule_of(info)}: {kind} is for numbers; write {{choice: [...]}}.")
            return None
        if (kind == "int") != (int in numeric):
            other = "int" if int in numeric else "uniform"
            self._say(node, path, f"is {rule_of(info)}, so {kind} does not fit; write {{{other}: {values}}}.")
            return None
        if len(values) != 2 or not values[0] < values[1]:  # noqa: PLR2004
            self._say(node, f"{path}.{kind}", f"must be [low, high] with low below high, got {values}.")
            return None
        low, high = values
        options = {name: entries[name][1] for name in ("log", "step") if name in entries}
        log = value_of(options["log"]) if "log" in options else kind == "log_uniform"
        step = value_of(options["step"]) if "step" in options else 1
        if not isinstance(log, bool):
            self._say(options["log"], f"{path}.log", f"must be true or false, got {shown(options['log'])}.")
        elif isinstance(step, bool) or not isinstance(step, int) or step < 1 or (log and step != 1):
            self._say(options["step"], f"{path}.step", f"must be a whole number from 1, without log, got {step}.")
        elif log and low <= 0:
            self._say(node, f"{path}.{kind}", f"needs a low end above 0 for a logarithm, got {values}.")
        elif kind == "int":
            return IntRange(low, high - (high - low) % step, log=log, step=step)
        else:
            return FloatRange(float(low), float(high), log=log)
        return None


def _entries(node: MappingNode) -> dict[str, tuple[Node, Node]]:
    return {name.value: (name, value) for name, value in node.value}


def shown(node: Node) -> str:
    """What stands at `node`, short enough for a message."""
    if isinstance(node, SequenceNode):
        return "a list"
    if isinstance(node, MappingNode):
        return "{" + ", ".join(f"{name.value}: ..." for name, _ in node.value) + "}"
    value = value_of(node)
    return repr(value) if isinstance(value, str) else json.dumps(value)


def rule_of(info: FieldInfo) -> str:
    """The limits of a field in words: `a number above 0, at most 10`."""
    given = [item.text for item in info.metadata if isinstance(item, Rule)]
    if given:
        return given[0]
    models, _ = models_of(info.annotation)
    if models:
        key = _discriminator(info)
        return f"a mapping with {key} {_words(_literal(m, key) for m in models)}" if key else "a mapping"
    if words := _literals(info):
        return ("" if len(words) == 1 else "one of ") + ", ".join(map(str, words))
    plain = _plain_types(info.annotation)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    text = next(names[kind] for kind in (bool, float, int, str) if kind in plain)
    if limits := list(_limits(info)):
        text += (", " if limits[0].startswith("at") else " ") + ", ".join(limits)
    return f"{text} or null" if types.NoneType in plain else text


def _limits(info: FieldInfo) -> Iterator[str]:
    for item in info.metadata:
        for limit in item if isinstance(item, Interval) else (item,):
            if isinstance(limit, Gt):
                yield f"above {limit.gt}"
            elif isinstance(limit, Ge):
                yield f"at least {limit.ge}"
            elif isinstance(limit, Lt):
                yield f"below {limit.lt}"
            elif isinstance(limit, Le):
                yield f"at most {limit.le}"
            elif isinstance(limit, MinLen):
                yield "not empty"


def is_valid(info: FieldInfo, value: object) -> bool:
    """Whether a field may have this value. Infinite and not-a-number are never valid."""
    if isinstance(value, float) and not math.isfinite(value):
        return False
    annotation: Any = info.annotation
    try:
        _adapter(annotation, tuple(info.metadata)).validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


@cache
def _adapter(annotation: Any, metadata: tuple[Any, ...]) -> TypeAdapter[Any]:  # noqa: ANN401
    return TypeAdapter(Annotated[annotation, *metadata] if metadata else annotation)


def models_of(annotation: Any) -> tuple[tuple[Model, ...], bool]:  # noqa: ANN401
    """The models that a field may hold, none for a leaf; and whether it may be null."""
    if get_origin(annotation) is Annotated:
        return models_of(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,), False
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [models_of(argument) for argument in get_args(annotation)]
        return tuple(m for found, _ in parts for m in found), types.NoneType in get_args(annotation)
    return (), False


def _discriminator(info: FieldInfo) -> str | None:
    key = info.discriminator
    return key if isinstance(key, str) else None


def _literal(model: Model, key: str | None) -> str:
    return str(get_args(model.model_fields[key].annotation)[0]) if key else ""


def _literals(info: FieldInfo) -> list[Scalar]:
    annotations = [info.annotation, *get_args(info.annotation)]
    return [word for item in annotations if get_origin(item) is Literal for word in get_args(item)]


def _plain_types(annotation: Any) -> set[Any]:  # noqa: ANN401
    if get_origin(annotation) in (Union, types.UnionType):
        return {kind for argument in get_args(annotation) for kind in _plain_types(argument)}
    if get_origin(annotation) is Literal:
        return {str}
    return {annotation}


def _kind(option: Node, key: str | None) -> str:
    for name, value in option.value if isinstance(option, MappingNode) else ():
        if name.value == (key or "name") and isinstance(value, ScalarNode):
            return str(value.value)
    return "option"


def _example(models: tuple[Model, ...]) -> str:
    name, info = next(iter(models[0].model_fields.items()))
    return f"{{{info.alias or name}: ...}}"


def _words(items: Iterator[str]) -> str:
    return " or ".join(items)


def _join(path: str, name: str) -> str:
    return f"{path}.{name}" if path else name
