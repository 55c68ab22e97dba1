"""The fields that vary between configurations, and those they have in common: the columns of every table of trials."""

import random
import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from convnn.geometry import VGG11_STAGES, range_name
from search_spaces import Decided, SpecError, SweepSpec, TrialConfig, canonical
from search_spaces.base import by_path
from search_spaces.domains import Scalar
from search_spaces.headline import HEADLINE, headline
from search_spaces.models import VGG11, VGGLayer
from search_spaces.models.base import lam
from tune_jobs.errors import SweepError, UsageError
from tune_jobs.record.folder import SweepFolder, recorded_spec
from tune_jobs.results.by_depth import (
    TOLD_BY_LAMBDA,
    Fields,
    base_of,
    comparable,
    each_stage,
    joined,
    key_in,
    one_for_all,
    ranged,
    staged,
)

SEED = "seed"
"""Not a hyperparameter: the seed shows how large chance effects are, and no seed is better than another."""

NONE = "none"

DRAWS = 64
"""Number of draws that represent a space."""

_SAID = re.compile(r"training\.lr|model\.((layer|attention)\.(candidates\.)?)?(lambda|k|r|patch|aggregation)")
"""Paths of fields that `headline` already has. A model of a plugin may have several layers, each with such fields."""

_KNOWN = ("layer", "layers")
"""Fields of VGG-11 with layers. Their lambda and kind are in `fields` by short names."""

_SAID_OF_ALL = ("model", "kind", "candidates")
"""Short names in `fields`, besides those of the headline."""


@dataclass(frozen=True)
class Column:
    """A field of configurations. `key` is its key in `fields`, `name` is its name for people."""

    key: str
    name: str
    axis: str | None = field(default=None, compare=False)
    """A name in `params` under which all configurations have a number, or all have a word; see `axes`."""

    stages: tuple[str, ...] = field(default=(), compare=False)
    """The stages of VGG-11 to which it applies; none if it applies to all layers."""


def fields(config: TrialConfig) -> dict[str, Scalar]:
    """Return every field of a configuration: first those that people compare, by short name, then others by path.

    For layers by depth they include the fields of each stage; see `by_depth`.
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
    if not isinstance(config.model, VGG11):
        return found
    return Fields(found, lambda: joined({name: fields(each) for name, each in each_stage(config).items()}))


def params(config: TrialConfig, columns: Iterable[Column] = ()) -> dict[str, str]:
    """Return the paper's parameters, then every other field by path, as text; `none` if a field is missing.

    Fields in `columns` that belong to some of the layers have the column's name, the same name in every trial.
    """
    own = [column for column in columns if column.stages]
    values = fields(config) if own else {}
    found = headline(config) | {column.name: values.get(column.key) for column in own}
    known = {key for column in own for key in _keys_in(column)}
    others = ((path, value) for path, value in _by_path(config) if not _is_headline(path))
    found |= {path: value for path, value in others if not known.issuperset(keys_of(path))}
    return {key: NONE if value is None else str(value) for key, value in found.items()}


def names_of_params(column: Column) -> tuple[str, ...]:
    """Return the names of a column in `params`."""
    if column.stages:
        return (column.name,)
    return _PATHS.get(column.key, (column.key,))


def varying(configs: Iterable[TrialConfig], beside: Iterable[TrialConfig] = ()) -> list[Column]:
    """Return the fields in which configurations differ, among themselves or from those in `beside`, as columns.

    A less common field that some configurations have, always with the same value, is left out: it says no more than the
    field that makes these configurations differ.
    """
    return differing([fields(config) for config in (*configs, *beside)])


def differing(found: Sequence[Mapping[str, Scalar]]) -> list[Column]:
    """Return the same for configurations given as `fields`."""
    found = comparable(found)
    every = _columns(found)
    by_depth = any(column.stages for column in every)
    return [column for column in every if len(_seen(column, found, by_depth=by_depth)) > 1]


def axes(configs: Iterable[TrialConfig], columns: Iterable[Column]) -> list[Column]:
    """Return the columns, each with an axis for plots that cannot show missing values or mix numbers with words.

    MLflow's parallel coordinates omit every trial that has no value on one of the axes, or a value of the rarer type.
    """
    columns = list(columns)
    found = [params(canonical(config), columns) for config in configs]
    return [replace(column, axis=_axis(column, found)) for column in columns]


def constants(found: Sequence[Mapping[str, Scalar]], columns: Iterable[Column]) -> dict[str, Scalar]:
    """Return the values that all `fields` have in common, of the fields that people compare; no columns, no `None`."""
    shown = {column.key for column in columns}
    same: dict[str, Scalar] = {}
    found = comparable(found)
    every = _columns(found)
    for key in (*_SAID_OF_ALL[:2], *HEADLINE, *_SAID_OF_ALL[2:], "training.epochs"):
        ranges = [column for column in every if column.stages and base_of(column.key) == key]
        for column in ranges or [Column(key, _short(key))]:
            values = {values.get(column.key) for values in found}
            if column.key not in shown and len(values) == 1 and values != {None}:
                same[column.name] = values.pop()
    return same


def chosen(text: str, configs: Sequence[TrialConfig]) -> list[Column]:
    """Return the columns that a user lists, separated by commas, in that order; `all` stands for those that vary.

    A path in a range of layers stands for every column that applies to some of its stages.

    Raises:
        UsageError: If no configuration has a listed field.
    """
    every = _columns(found := comparable([fields(config) for config in configs]))
    known = {key for values in found for key in values}
    columns: dict[str, Column] = {}
    for asked in filter(None, map(str.strip, text.split(","))):
        if asked == "all":
            picked = varying(configs)
        else:
            keys = known.intersection(keys_of(asked))
            picked = [column for column in every if column.name == asked]
            picked = picked or [column for column in every if not keys.isdisjoint(_keys_in(column))]
            if not picked:
                names = ", ".join(column.name for column in varying(configs)) or "nothing"
                raise UsageError(f"--columns: no trial has a field {asked!r}; the varying fields are: {names}.")
        columns |= {column.key: column for column in picked}
    return list(columns.values())


def possible(spec: SweepSpec) -> list[TrialConfig]:
    """Return some of the configurations that a sweep may try. Fields that differ among them are varied by the sweep."""
    rng = random.Random(0)
    space = spec.space
    return [space.resolve(Decided(space.draw(rng))) for _ in range(space.affordable(DRAWS))]


def recorded_columns(folder: SweepFolder) -> list[Column]:
    """Return the varying fields of a recorded sweep, from its file; none if the file cannot be read."""
    try:
        configs = possible(recorded_spec(folder))
        return axes(configs, varying(configs))
    except (SpecError, SweepError):
        return []


def unlike(names: Mapping[str, str]) -> dict[str, str]:
    """Return a name for each path; the path itself if several paths have the same name."""
    counts = Counter(names.values())
    return {path: name if counts[name] == 1 else path for path, name in names.items()}


def label(value: Scalar) -> str:
    """Return a value as short text."""
    if value is None:
        return NONE
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def in_a_line(config: TrialConfig, columns: Iterable[Column]) -> str:
    """Return a configuration's values in one line, without missing ones: `lambda 0.25, k 4`."""
    return ", ".join(named(fields(config), columns))


def named(values: Mapping[str, Scalar], columns: Iterable[Column]) -> list[str]:
    """Return the same for a configuration's `fields`, as a list."""
    return [f"{column.name} {label(values[column.key])}" for column in columns if values.get(column.key) is not None]


def _columns(found: Sequence[Mapping[str, Scalar]]) -> list[Column]:
    keys = dict.fromkeys(key for values in found for key in values)
    shown = dict(ranged(keys, found))
    names = unlike({key: " ".join([*_range(stages), _short(base_of(key))]) for key, stages in shown.items()})
    return [Column(key, names[key], stages=stages) for key, stages in shown.items()]


def _range(stages: Sequence[str]) -> list[str]:
    return [range_name(stages)] if stages else []


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
    """Yield each field with its path. Each of several layers of a plugin's model has a lambda, instead of a kind."""
    own = ((name, part) for name, part in config.model if isinstance(part, VGGLayer) and name not in _KNOWN)
    lambdas = {f"model.{name}": lam(part) for name, part in own if getattr(part, "kind", None) in TOLD_BY_LAMBDA}
    for path, value in by_path(config.model_dump(mode="json", by_alias=True)):
        above, _, name = path.rpartition(".")
        if above in lambdas and name == "kind":
            yield f"{above}.lambda", lambdas[above]
        elif above not in lambdas or name != "lambda":
            yield path, str(value) if isinstance(value, list) else value


def keys_of(path: str) -> list[str]:
    """Return the keys of a field for its path in a configuration or space: one for each stage of a range of layers."""
    path = re.sub(r"\[.*?\]", "", path).removeprefix("space.")
    if by_depth := staged(path, _KEYS_OF_LAYER):
        return by_depth
    last = path.rpartition(".")[2]
    if _is_headline(path):
        return ["p" if last == "patch" else last]
    return [next((key for key, paths in _PATHS.items() if path in paths), path)]


def _keys_in(column: Column) -> set[str]:
    """Return the keys of all fields that a column shows."""
    return {column.key, *(key_in(stage, base_of(column.key)) for stage in column.stages or VGG11_STAGES)}


def _is_headline(path: str) -> bool:
    return _SAID.fullmatch(path) is not None


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
"""Keys of layer fields that differ from their paths, by path and by name in tables."""


def _short(path: str) -> str:
    starts = ["model.layer.", "model.attention.", "training.", *(["model."] if path.count(".") > 1 else [])]
    return path.removeprefix(next(filter(path.startswith, starts), ""))
