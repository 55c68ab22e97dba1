"""Facts about a model's fields: the values that they accept, and a description of them in words."""

import math
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import cache
from typing import Annotated, Any, Literal, TypeAlias, Union, get_args, get_origin

from annotated_types import Ge, Gt, Interval, Le, Lt, MinLen
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from search_spaces.base import Config, Rule
from search_spaces.domains import Scalar
from search_spaces.registry import OneOf, OneWord

Model: TypeAlias = type[BaseModel]


def rule_of(info: FieldInfo) -> str:
    """Return the limits of a field in words, such as `a number above 0, at most 10`."""
    given = [item.text for item in info.metadata if isinstance(item, Rule)]
    if given:
        return given[0]
    models, _ = models_of(info)
    if models:
        key = discriminator_of(info)
        return (
            f"a mapping with {key} {alternatives(literal_of(m, key) for m in models)}"
            if key
            else f"a mapping of {', '.join(names_of(models[0]))}"
        )
    if words := literals_of(info):
        return ("" if len(words) == 1 else "one of ") + ", ".join(map(str, words))
    plain = types_of(info.annotation)
    names = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}
    text = next(names[kind] for kind in (bool, float, int, str) if kind in plain)
    if limits := list(_limits(info)):
        text += (", " if limits[0].startswith(("at", "not")) else " ") + ", ".join(limits)
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
    """Return whether a field accepts this value. Infinity and NaN are never valid."""
    return validity(info)(value)


def validity(info: FieldInfo) -> Callable[[object], bool]:
    """Return a function that tests many values of a field as `is_valid` tests one."""
    annotation: Any = info.annotation
    validate = _adapter(annotation, tuple(info.metadata)).validate_python

    def holds(value: object) -> bool:
        if isinstance(value, float) and not math.isfinite(value):
            return False
        try:
            validate(value, strict=True)
        except ValidationError:
            return False
        return True

    return holds


@cache
def _adapter(annotation: Any, metadata: tuple[Any, ...]) -> TypeAdapter[Any]:  # noqa: ANN401
    return TypeAdapter(Annotated[annotation, *metadata] if metadata else annotation)


def models_of(info: FieldInfo) -> tuple[tuple[Model, ...], bool]:
    """Return the models that a field may hold, none for a leaf, and whether it may be null."""
    registry = next((mark.registry for mark in info.metadata if isinstance(mark, OneOf)), None)
    return (registry.classes(), False) if registry else _models_in(info.annotation)


def _models_in(annotation: Any) -> tuple[tuple[Model, ...], bool]:  # noqa: ANN401
    if get_origin(annotation) is Annotated:
        return _models_in(get_args(annotation)[0])
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return (annotation,), False
    if get_origin(annotation) in (Union, types.UnionType):
        parts = [_models_in(argument) for argument in get_args(annotation)]
        return tuple(m for found, _ in parts for m in found), types.NoneType in get_args(annotation)
    return (), False


def discriminator_of(info: FieldInfo) -> str | None:
    """Return the discriminator field of a union of models; `None` if there is no union."""
    marks = (mark.registry.key for mark in info.metadata if isinstance(mark, OneOf))
    key = next(marks, info.discriminator)
    return key if isinstance(key, str) else None


def literal_of(model: Model, key: str | None) -> str:
    """Return the first value of a model's discriminator, which is its name; empty without a discriminator."""
    return str(get_args(model.model_fields[key].annotation)[0]) if key else ""


def literals_of(info: FieldInfo) -> list[Scalar]:
    """Return the words that a field accepts; empty if it is not limited to words."""
    for mark in info.metadata:
        if isinstance(mark, OneWord):
            return list(mark.words())
    annotations = [info.annotation, *get_args(info.annotation)]
    return [word for item in annotations if get_origin(item) is Literal for word in get_args(item)]


def types_of(annotation: Any) -> set[Any]:  # noqa: ANN401
    """Return the Python types that a field accepts."""
    if get_origin(annotation) in (Union, types.UnionType):
        return {kind for argument in get_args(annotation) for kind in types_of(argument)}
    if get_origin(annotation) is Literal:
        return {str}
    return {annotation}


@cache
def models_by_kind(models: tuple[Model, ...], key: str) -> Mapping[str, Model]:
    """Return the models of a union, by the values of their discriminator."""
    return {literal: model for model in models for literal in get_args(model.model_fields[key].annotation)}


@cache
def fields_of(model: Model) -> Mapping[str, FieldInfo]:
    """Return a model's fields, by their names in files."""
    return {info.alias or name: info for name, info in model.model_fields.items()}


def mistakes_in(model: Model, names: Sequence[str]) -> dict[str, str]:
    """Return the mistakes in this combination of fields, by field, or "" for all of them; see `Config.mistakes_in`."""
    return dict(model.mistakes_in(names)) if issubclass(model, Config) else {}


def uses_some_fields(model: Model) -> bool:
    """Return whether a file names only some of a model's fields; see `Config.uses_some_fields`."""
    return issubclass(model, Config) and model.uses_some_fields


def names_of(model: Model) -> list[str]:
    """Return the names of a model's fields in files."""
    return list(fields_of(model))


def alternatives(items: Iterable[str]) -> str:
    """Join words for a message: `a, b or c`."""
    *others, last = items
    return f"{', '.join(others)} or {last}" if others else last


def forms_of(info: FieldInfo) -> list[str]:
    """Return the forms of the domains that a field accepts."""
    plain_types = types_of(info.annotation)
    numbers = ["int"] if int in plain_types else ["uniform", "log_uniform"] if float in plain_types else []
    return ["choice: [a, b, ...]", *(f"{kind}: [low, high]" for kind in numbers)]
