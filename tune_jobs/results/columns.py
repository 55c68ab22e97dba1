"""What differs between configurations, and what they have in common: the columns of every table of trials."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from search_spaces import Decided, SpecError, SweepSpec, TrialConfig, canonical
from search_spaces.base import by_path
from search_spaces.domains import Scalar
from search_spaces.headline import HEADLINE, headline
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.results.by_depth import (
    Fields,
    base_of,
    comparable,
    each_stage,
    is_staged,
    joined,
    one_for_all,
    ranged,
    staged,
)

SEED = "seed"
"""Nobody's choice: it tells how far chance goes, and is never better or worse."""

NONE = "none"

DRAWS = 64
"""Draws that stand for a space."""

_SAID = {"lambda", "k", "r", "patch", "aggregation"}
"""Fields of a model that `headline` has already."""

_SAID_OF_ALL = ("model", "kind", "candidates")
"""What `fields` says under a short name, besides the headline."""


@dataclass(frozen=True)
class Column:
    """A field of configurations: `key` finds it among `fields`, `name` is what people read."""

    key: str
    name: str
    axis: str | None = field(default=None, compare=False)
    """The name among `params` under which every configuration has a number, or every one a word; see `axes`."""


def fields(config: TrialConfig) -> dict[str, Scalar]:
    """Every field of a configuration; those that people compare first, under short names, all others by their path.

    Of layers that differ by depth each stage's, too, see `by_depth`.
    """
    if by_range := one_for_all(config):
        return joined({name: fields(each) for name, each in by_range.items()})
    layer = config.model.mixing_layer
    paper = headline(config)
    first: dict[str, Scalar] = {
        "model": config.model.name,
        "kind": getattr(layer, "kind", None),
        **{name: paper[name] for name in ("lambda", "k")},
        "candidates": getattr(getattr(layer, "candidates", None), "kind", None),
        **paper,
    }
    found = first | dict(_others(config))
    if not hasattr(config.model, "layers"):
        return found
    return Fields(found, lambda: joined({name: fields(each) for name, each in each_stage(config).items()}))


def params(config: TrialConfig, columns: Iterable[Column] = ()) -> dict[str, str]:
    """The paper's parameters, then every other field by its path, as text; `none` where a configuration has none.

    Those of `columns` that are of some of the layers have the name of their column, whatever else is equal in a trial.
    """
    own = [column for column in columns if is_staged(column.key)]
    known, values = {column.key for column in own}, fields(config) if own else {}
    found = headline(config) | {column.name: values.get(column.key) for column in own}
    others = ((path, value) for path, value in _by_path(config) if not _is_headline(path))
    found |= {path: value for path, value in others if key_of(path) not in known}
    return {key: NONE if value is None else str(value) for key, value in found.items()}


def names_of_params(column: Column) -> tuple[str, ...]:
    """Under which of these names `params` has it."""
    if is_staged(column.key):
        return (column.name,)
    return _PATHS.get(column.key, (column.key,))


def varying(configs: Iterable[TrialConfig], beside: Iterable[TrialConfig] = ()) -> list[Column]:
    """The fields in which configurations differ, among themselves or from those `beside` them, as they are compared.

    A field beyond the well-known ones that a configuration either has or has not, always with the same value, says no
    more than the field by which they differ in that.
    """
    return differing([fields(config) for config in (*configs, *beside)])


def differing(found: Sequence[Mapping[str, Scalar]]) -> list[Column]:
    """The same of configurations' `fields`."""
    found = comparable(found)
    every = _columns(found)
    by_depth = any(is_staged(column.key) for column in every)
    return [column for column in every if len(_seen(column, found, by_depth=by_depth)) > 1]


def axes(configs: Iterable[TrialConfig], columns: Iterable[Column]) -> list[Column]:
    """The columns, each with its axis in a plot that can show neither a missing value nor numbers beside words.

    MLflow's parallel coordinates leave out every trial that has no value, or the rarer sort, on one of the axes.
    """
    columns = list(columns)
    found = [params(canonical(config), columns) for config in configs]
    return [replace(column, axis=_axis(column, found)) for column in columns]


def constants(found: Sequence[Mapping[str, Scalar]], columns: Iterable[Column]) -> dict[str, Scalar]:
    """What all `fields` have in common of those that people compare first; without columns and `None`."""
    shown = {column.key for column in columns}
    same: dict[str, Scalar] = {}
    found = comparable(found)
    every = _columns(found)
    for key in (*_SAID_OF_ALL[:2], *HEADLINE, *_SAID_OF_ALL[2:], "training.epochs"):
        ranges = [column for column in every if is_staged(column.key) and base_of(column.key) == key]
        for column in ranges or [Column(key, _short(key))]:
            values = {values.get(column.key) for values in found}
            if column.key not in shown and len(values) == 1 and values != {None}:
                same[column.name] = values.pop()
    return same


def chosen(text: str, configs: Sequence[TrialConfig]) -> list[Column]:
    """The columns that a person names, comma by comma, in that order; `all` stands for those that vary.

    Raises:
        UsageError: If no configuration has such a field.
    """
    every = _columns(comparable([fields(config) for config in configs]))
    by_name = {name: column for column in every for name in (column.key, column.name)}
    found: dict[str, Column] = {}
    for asked in filter(None, map(str.strip, text.split(","))):
        name = asked if asked in by_name else key_of(asked)
        if name not in by_name and name != "all":
            known = ", ".join(column.name for column in varying(configs)) or "nothing"
            raise UsageError(f"--columns: no trial has a field {asked!r}; what varies is: {known}.")
        picked = varying(configs) if name == "all" else [by_name[name]]
        found |= {column.key: column for column in picked}
    return list(found.values())


def possible(spec: SweepSpec) -> list[TrialConfig]:
    """Some of the configurations that a sweep may try: what differs among these, it varies."""
    rng = random.Random(0)
    space = spec.space
    return [space.resolve(Decided(space.draw(rng))) for _ in range(space.affordable(DRAWS))]


def recorded_columns(folder: SweepFolder) -> list[Column]:
    """What varies in the sweep of a folder, by its file; nothing where that cannot be read."""
    try:
        configs = possible(recorded_spec(folder))
        return axes(configs, varying(configs))
    except (SpecError, SweepError):
        return []


def unlike(names: Mapping[str, str]) -> dict[str, str]:
    """A name by path; the path itself where several have the same name."""
    counts = Counter(names.values())
    return {path: name if counts[name] == 1 else path for path, name in names.items()}


def label(value: Scalar) -> str:
    """A value, short."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def in_a_line(config: TrialConfig, columns: Iterable[Column]) -> str:
    """A configuration's values, those that it has: `lambda 0.25, k 4`."""
    return ", ".join(named(fields(config), columns))


def named(values: Mapping[str, Scalar], columns: Iterable[Column]) -> list[str]:
    """The same of its `fields`, one by one."""
    return [f"{column.name} {label(values[column.key])}" for column in columns if values.get(column.key) is not None]


def _columns(found: Sequence[Mapping[str, Scalar]]) -> list[Column]:
    keys = dict.fromkeys(key for values in found for key in values)
    shown = dict(ranged(keys, found))
    names = unlike(
        {key: f"{layers} {_short(base_of(key))}" if layers else _short(key) for key, layers in shown.items()}
    )
    return [Column(key, names[key]) for key in shown]


def _seen(column: Column, found: Iterable[Mapping[str, Scalar]], *, by_depth: bool) -> set[Scalar]:
    values = {values.get(column.key) for values in found}
    refines = "." in column.key or column.key in _SAID_OF_ALL or by_depth
    return values - {None} if refines else values


def _axis(column: Column, found: Sequence[Mapping[str, str]]) -> str | None:
    for name in names_of_params(column):
        values = [values.get(name, NONE) for values in found]
        if NONE not in values and len({_is_number(value) for value in values}) == 1:
            return name
    return None


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _others(config: TrialConfig) -> Iterator[tuple[str, Scalar]]:
    short = {"data.root", *(path for paths in _PATHS.values() for path in paths)}
    return ((path, value) for path, value in _by_path(config) if path not in short and not _is_headline(path))


def _by_path(config: TrialConfig) -> Iterator[tuple[str, Scalar]]:
    for path, value in by_path(config.model_dump(mode="json", by_alias=True)):
        yield path, str(value) if isinstance(value, list) else value


def key_of(path: str) -> str:
    """The key of a configuration's field by its path, of a space's leaf, too: its short name, where it has one."""
    path = re.sub(r"\[.*?\]", "", path).removeprefix("space.")
    if (key := staged(path, _KEYS_OF_LAYER)) is not None:
        return key
    last = path.rpartition(".")[2]
    if _is_headline(path):
        return "p" if last == "patch" else last
    return next((key for key, paths in _PATHS.items() if path in paths), path)


def _is_headline(path: str) -> bool:
    of_model = path.startswith("model.") and not is_staged(path)
    return path == "training.lr" or (of_model and path.rpartition(".")[2] in _SAID)


_PATHS = {
    "model": ("model.name",),
    "kind": ("model.layer.kind", "model.attention.kind"),
    "candidates": ("model.layer.candidates.kind", "model.attention.candidates.kind"),
}

_KEYS_OF_LAYER = {
    **{f"model.layer.{name}": name for name in ("kind", "lambda", "k", "aggregation", "p", "r", "candidates")},
    "model.layer.patch": "p",
    "model.layer.candidates.r": "r",
    "model.layer.candidates.kind": "candidates",
}
"""Keys of a layer's fields that are not their paths; also by their names in tables."""


def _short(path: str) -> str:
    for start in ("model.layer.", "model.attention.", "training."):
        if path.startswith(start):
            return path.removeprefix(start)
    return path
