"""Settings for the checks of a kind: its examples and defaults, and other values of each field."""

import random
from collections.abc import Iterator
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic.fields import FieldInfo

from search_spaces.base import Config
from search_spaces.reading.fields import (
    discriminator_of,
    fields_of,
    literal_of,
    literals_of,
    models_of,
    rule_of,
    types_of,
    validity,
)
from tune_jobs.conformance.outcome import Broken

T = TypeVar("T")
C = TypeVar("C", bound=Config)

NUMBERS: tuple[Any, ...] = (1, 2, 3, 4, 8, 0, 16, 64, 0.5, 0.25, 0.75, 0.1, 1.0, 2.0)
"""A field without a default gets the first valid of these values."""

OF_A_FIELD, TOGETHER, MOST = 3, 6, 24
"""Maximum number of other values per field, of draws of several fields, and of settings that are built."""

Tree = dict[str, Any]


def trees(kind: type[Config], key: str) -> list[Tree]:
    """Return settings as in a file: the kind's examples or its defaults, with its name."""
    return [_filled(kind, key, dict(example)) for example in kind.examples or ({},)]


def read(kind: type[C], tree: Tree) -> C:
    """Validate the settings of a file.

    Raises:
        Broken: If they are not valid.
    """
    try:
        return kind.model_validate(tree)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = ".".join(str(part) for part in first["loc"])
        raise Broken(
            f"{place} must have a valid default, or a valid value in `examples`: {first['msg']}, got {first['input']}"
        ) from error


def varied(kind: type[C], key: str) -> list[C]:
    """Return a few of `all_varied`, evenly chosen."""
    return some(all_varied(kind, key), MOST)


def all_varied(kind: type[C], key: str) -> list[C]:
    """Return the settings of `trees`, each followed by others: first one field changed, then several."""
    found: dict[str, C] = {}
    rng = random.Random(0)
    for tree in trees(kind, key):
        singles = list(_singles(kind, tree, key))
        several = [_all_at_once(tree, singles, rng) for _ in range(TOGETHER)] if len(singles) > 1 else []
        first = read(kind, tree)
        found.setdefault(first.model_dump_json(), first)
        for other in [*(_with(tree, *single) for single in singles), *several]:
            try:
                config = kind.model_validate(other)
            except ValidationError:
                continue  # rules between fields
            found.setdefault(config.model_dump_json(), config)
    return list(found.values())


def some(listed: list[T], count: int) -> list[T]:
    """Return the first item and others at even distances."""
    step = max(1, len(listed) / count)
    return [listed[int(number * step)] for number in range(min(count, len(listed)))]


def _filled(kind: type[BaseModel], key: str | None, tree: Tree) -> Tree:
    """Add the fields without a default: the name of the kind, and the first valid value of each other field."""
    for name, info in fields_of(kind).items():
        if name == key:
            tree.setdefault(name, literal_of(kind, key))
        elif name not in tree and info.is_required():
            tree[name] = _some_value(name, info)
    return tree


def _some_value(name: str, info: FieldInfo) -> Any:  # noqa: ANN401 - plain data
    models, _ = models_of(info)
    if models:
        return _filled(models[0], discriminator_of(info), dict(next(iter(getattr(models[0], "examples", ())), {})))
    holds = validity(info)
    for value in (*literals_of(info), *_numbers(info), True, "a"):
        if holds(value):
            return value
    raise Broken(
        f"the field {name} has no default, and none of {NUMBERS} is valid; give it a default, or a value in `examples`"
    )


def _numbers(info: FieldInfo) -> tuple[Any, ...]:
    return NUMBERS if types_of(info.annotation) & {int, float} else ()


def _singles(kind: type[BaseModel], tree: Tree, key: str | None) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Yield other values, each with the path of its field."""
    for name, info in fields_of(kind).items():
        models, _ = models_of(info)
        if name == key:
            continue
        if models:
            inner = discriminator_of(info)
            for model in models:
                branch = _filled(model, inner, {})
                yield (name,), branch
                given = tree.get(name) or {}
                if len(models) == 1 or given.get(inner) == branch.get(inner or ""):
                    for path, value in _singles(model, given or branch, inner):
                        yield (name, *path), value
        else:
            yield from (((name,), value) for value in _others(info, tree.get(name, info.default)))


def _others(info: FieldInfo, value: Any) -> list[Any]:  # noqa: ANN401
    """Return some other valid values of a field."""
    plain = types_of(info.annotation)
    wanted: list[Any] = list(literals_of(info))
    if bool in plain:
        wanted = [True, False]
    elif not wanted and isinstance(value, int | float):
        wanted = [value + 1, value * 2, value - 1, value // 2 if isinstance(value, int) else value / 2, *NUMBERS]
    elif not wanted:
        wanted = list(NUMBERS)
    wanted += [None] if type(None) in plain else []
    holds = validity(info)
    found = [other for other in wanted if other != value and holds(other)]
    return list(dict.fromkeys(found))[:OF_A_FIELD]


def _with(tree: Tree, path: tuple[str, ...], value: Any) -> Tree:  # noqa: ANN401
    head, *rest = path
    return {**tree, head: _with(tree.get(head) or {}, tuple(rest), value) if rest else value}


def _all_at_once(tree: Tree, singles: list[tuple[tuple[str, ...], Any]], rng: random.Random) -> Tree:
    for path, value in rng.sample(singles, max(2, len(singles) // 3)):
        tree = _with(tree, path, value)
    return tree


def unsaid(kind: type[Config], key: str) -> list[str]:
    """Return the fields without a description."""
    return [name for name, info in fields_of(kind).items() if name != key and not _is_said(info)]


def _is_said(info: FieldInfo) -> bool:
    return bool(info.description) or bool(models_of(info)[0])


def unreadable(kind: type[Config], key: str) -> list[str]:
    """Return the fields with a type that sweep files do not support."""
    found = []
    for name, info in fields_of(kind).items():
        try:
            if name != key:
                rule_of(info)
        except (StopIteration, RuntimeError):
            found.append(name)
    return found
