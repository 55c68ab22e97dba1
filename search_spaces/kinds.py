"""The kinds that a configuration or a space uses, and the modules that define them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from convnn import plugins
from convnn.data.facts import DATASETS, module_of
from search_spaces.base import Config
from search_spaces.models import ModelConfig
from search_spaces.models.depth import Layers
from search_spaces.nodes import Branches, Fixed, Group, SpaceNode
from search_spaces.reading.fields import discriminator_of, fields_of, models_by_kind, models_of
from search_spaces.registry import OneOf, Registry
from search_spaces.trial import TrialConfig


@dataclass(frozen=True)
class Kind:
    """A class in a registry, or a data set."""

    group: str
    """The entry point group for such kinds."""

    name: str
    config_version: int | None
    modules: frozenset[str]
    """The modules of its class and base classes, and of the function that makes it."""


def declared_versions(form: TrialConfig) -> dict[str, list[Any]]:
    """Return name and version of each part of a configuration with a version, by path; built-in kinds have none."""
    found = {
        path: [_name_of(part), part.config_version]
        for path, part in _parts("model", form.model)
        if part.config_version is not None
    }
    if (version := DATASETS[form.data.name].config_version) is not None:
        found["data"] = [form.data.name, version]
    return found


def kinds_in(config: TrialConfig) -> list[Kind]:
    """Return the kinds of one configuration."""
    return [*_kinds_of(config.model), dataset_kind(config.data.name)]


def kinds_below(space: SpaceNode) -> list[Kind]:
    """Return the kinds of all models in a space, without its data sets."""
    found = {(kind.group, kind.name): kind for kind in _below(space, TrialConfig)}
    return list(found.values())


def kind_of(group: str, found: type[BaseModel], name: str) -> Kind:
    """Return the kind of a registered class."""
    modules = {base.__module__ for base in found.__mro__ if issubclass(base, Config)}
    if made_by := getattr(found, "made_by", ""):
        modules.add(made_by.partition(":")[0])
    return Kind(group, name, getattr(found, "config_version", None), frozenset(modules))


def dataset_kind(name: str) -> Kind:
    """Return the kind of a data set."""
    module = module_of(name)
    return Kind(plugins.DATASETS, name, DATASETS[name].config_version, frozenset([module] if module else []))


def _kinds_of(config: Config) -> Iterator[Kind]:
    for _, part in _parts("", config):
        group = plugins.MODELS if isinstance(part, ModelConfig) else plugins.LAYERS
        yield kind_of(group, type(part), _name_of(part))


def _parts(path: str, config: Config) -> Iterator[tuple[str, Config]]:
    yield path, config
    for name, value in config.by_stage.items() if isinstance(config, Layers) else config:
        if isinstance(value, Config):
            yield from _parts(f"{path}.{name}", value)


def _name_of(part: Config) -> str:
    return str(getattr(part, "kind", None) or getattr(part, "name", None) or type(part).__name__)


def _below(node: SpaceNode, model: type[BaseModel]) -> Iterator[Kind]:
    """Yield the kinds in the fields of a mapping that describes `model`."""
    if isinstance(node, Branches):
        for option in node.options.values():
            yield from _below(option, model)
    elif isinstance(node, Group):
        for name, info in fields_of(model).items():
            child = node.fields.get(name)
            registry = next((mark.registry for mark in info.metadata if isinstance(mark, OneOf)), None)
            if child is None and isinstance(info.default, Config):
                yield from _kinds_of(info.default)
            elif child is not None and registry is not None:
                yield from _registered(child, registry)
            elif child is not None and (models := models_of(info)[0]):
                yield from _plain(child, models, discriminator_of(info))


def _registered(node: SpaceNode, registry: Registry[Any]) -> Iterator[Kind]:
    if isinstance(node, Branches):
        for option in node.options.values():
            yield from _registered(option, registry)
    elif isinstance(node, Group):
        name = _said(node, registry.key)
        found = registry.named(name or registry.words()[0])
        if found is not None:
            yield kind_of(registry.group, found, name or registry.words()[0])
            yield from _below(node, found)


def _plain(node: SpaceNode, models: tuple[type[BaseModel], ...], key: str | None) -> Iterator[Kind]:
    if isinstance(node, Branches):
        for option in node.options.values():
            yield from _plain(option, models, key)
    elif isinstance(node, Group):
        named = models_by_kind(models, key).get(_said(node, key) or "") if key else models[0]
        if named is not None:
            yield from _below(node, named)


def _said(node: Group, key: str) -> str | None:
    found = node.fields.get(key)
    return str(found.value) if isinstance(found, Fixed) else None
