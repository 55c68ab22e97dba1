"""Installed packages that add models, layers, data sets, samplers and stopping rules: entry points and code.

Nothing here imports a plugin, but `made`, which is asked for a callable of one.
"""

import functools
import hashlib
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.metadata import Distribution, EntryPoint, distribution, entry_points
from importlib.util import find_spec
from pathlib import Path
from typing import Any

GROUP = "convnn_sweeps.models"
"""The entry points of 0.1.0: each names a class that registers itself, or a function that registers."""

MODELS, LAYERS, DATASETS = "convnn.models", "convnn.layers", "convnn.datasets"
SAMPLERS, STOPPING_RULES = "convnn.samplers", "convnn.stopping_rules"
GROUPS = (MODELS, LAYERS, DATASETS, SAMPLERS, STOPPING_RULES)
"""The groups in which an entry point has the name of a kind and names its class, or the facts of a data set."""

_OURS = __name__.partition(".")[0]
_DIGITS = 16


@dataclass(frozen=True)
class Plugin:
    """An installed distribution that has such entry points."""

    name: str
    version: str
    modules: tuple[str, ...]
    """Its packages and modules at the top, by which they are imported."""

    editable: bool
    """Whether its code is where its author edits it."""

    def metadata(self) -> dict[str, str]:
        """What Python must find beside the code to know the plugin by its entry points, by path."""
        found = distribution(self.name)
        texts = {name: found.read_text(name) for name in ("METADATA", "entry_points.txt", "top_level.txt")}
        folder = f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        return {f"{folder}/{name}": text for name, text in texts.items() if text}

    def files(self) -> dict[str, Path]:
        """Its code and what lies beside it, by the path from the folder that is on Python's path."""
        found: dict[str, Path] = {}
        for module in self.modules:
            for path in _files_of(module):
                found["/".join([*module.split(".")[:-1], path.relative_to(_home_of(module)).as_posix()])] = path
        return dict(sorted(found.items()))


@functools.cache
def entries() -> tuple[EntryPoint, ...]:
    """All entry points of these groups; one scan of what is installed."""
    found = entry_points()
    return tuple(entry for group in (GROUP, *GROUPS) for entry in found.select(group=group))


def in_group(group: str) -> list[EntryPoint]:
    """Those of one group."""
    return [entry for entry in entries() if entry.group == group]


def packages() -> set[str]:
    """The installed packages that add models or layers by name, this one among them."""
    return {_OURS, *(_top(entry.module) for entry in entries() if entry.group in (GROUP, MODELS, LAYERS))}


@functools.cache
def plugins() -> tuple[Plugin, ...]:
    """What is installed of these, by name."""
    found: dict[str, tuple[Distribution, list[str]]] = {}
    for entry in entries():
        if entry.dist is not None:
            found.setdefault(entry.dist.name, (entry.dist, []))[1].append(entry.module)
    return tuple(_plugin(*found[name]) for name in sorted(found))


def editable() -> list[Plugin]:
    """Those whose code is here alone, where their authors edit it."""
    return [plugin for plugin in plugins() if plugin.editable]


def owners(modules: Iterable[str]) -> list[Plugin]:
    """The plugins that these modules are of."""
    asked = [f"{module}." for module in modules]
    return [
        plugin for plugin in plugins() if any(name.startswith(f"{own}.") for name in asked for own in plugin.modules)
    ]


@functools.cache
def digests(plugin: Plugin) -> Mapping[str, str]:
    """The digest of each of a plugin's files, as they were when this process first asked."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS]
        for name, path in plugin.files().items()
        if path.is_file()
    }


def digest(plugin: Plugin) -> str:
    """A text that is equal where all of a plugin's files are."""
    lines = "".join(f"{name} {content}\n" for name, content in digests(plugin).items())
    return hashlib.sha256(lines.encode()).hexdigest()[:_DIGITS]


def forget() -> None:
    """Look anew at what is installed; for a program that installs something itself."""
    entries.cache_clear()
    plugins.cache_clear()
    digests.cache_clear()


def made(plain: Mapping[str, Any]) -> Callable[..., Any]:
    """The callable that `{"target": "package.module:name", "arguments": {...}}` names, with its arguments given.

    An argument of that form stands for the callable that it names.
    """
    arguments = {key: made(value) if is_made(value) else value for key, value in plain["arguments"].items()}
    return partial(named(plain["target"]), **arguments)


def named(target: str) -> Any:  # noqa: ANN401 - whatever it is
    """What `package.module:name` names."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def is_made(value: object) -> bool:
    """Whether it is of the form that `made` takes."""
    return isinstance(value, dict) and value.keys() == {"target", "arguments"}


def _top(module: str) -> str:
    return module.partition(".")[0]


def _plugin(dist: Distribution, named: list[str]) -> Plugin:
    listed = (dist.read_text("top_level.txt") or "").split()
    modules = {module for name in [*listed, *named] if (module := _whole(name)) is not None}
    origin = json.loads(dist.read_text("direct_url.json") or "{}")
    editable = origin.get("dir_info", {}).get("editable", False) is True
    return Plugin(dist.name, dist.version, tuple(sorted(modules)), editable)


def _whole(name: str) -> str | None:
    """The package at the top that a module is in, below a namespace that several distributions share; or the module."""
    parts = name.split(".")
    for count in range(1, len(parts) + 1):
        module = ".".join(parts[:count])
        try:
            spec = find_spec(module)
        except (ImportError, ValueError):
            return None
        if spec is None:
            return None
        if spec.origin is not None:
            return module
    return None


def _home_of(module: str) -> Path:
    """The folder from which a package or module at the top is imported."""
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    place = Path(spec.origin)
    return place.parents[1] if spec.submodule_search_locations else place.parent


def _files_of(module: str) -> list[Path]:
    spec = find_spec(module)
    assert spec is not None
    assert spec.origin is not None
    place = Path(spec.origin)
    if not spec.submodule_search_locations:
        return [place]
    found = (path for path in sorted(place.parent.rglob("*")) if path.is_file())
    return [path for path in found if "__pycache__" not in path.parts and path.suffix != ".pyc"]
