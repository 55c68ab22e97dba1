"""Installed packages that add models, layers, data sets, samplers and stopping rules: entry points and code.

Only `made` and `named` import a plugin: they return one of its callables.
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
"""The entry point group of 0.1.0. Each entry point names a class that registers itself, or a function that does so."""

MODELS, LAYERS, DATASETS = "convnn.models", "convnn.layers", "convnn.datasets"
SAMPLERS, STOPPING_RULES = "convnn.samplers", "convnn.stopping_rules"
GROUPS = (MODELS, LAYERS, DATASETS, SAMPLERS, STOPPING_RULES)
"""The groups whose entry points have the name of a kind and refer to its class, or to the facts of a data set."""

_OURS = __name__.partition(".")[0]
_DIGITS = 16


@dataclass(frozen=True)
class Plugin:
    """An installed distribution with such entry points."""

    name: str
    version: str
    modules: tuple[str, ...]
    """Its top-level packages and modules, by their import names."""

    editable: bool
    """Whether it is an editable install."""

    def metadata(self) -> dict[str, str]:
        """Return the metadata files that Python needs beside the code to find the entry points, by path."""
        found = distribution(self.name)
        texts = {name: found.read_text(name) for name in ("METADATA", "entry_points.txt", "top_level.txt")}
        folder = f"{self.name.replace('-', '_')}-{self.version}.dist-info"
        return {f"{folder}/{name}": text for name, text in texts.items() if text}

    def files(self) -> dict[str, Path]:
        """Return all files of its packages, by path relative to the folder on Python's path, without hidden ones."""
        found: dict[str, Path] = {}
        for module in self.modules:
            for path in _files_of(module):
                found["/".join([*module.split(".")[:-1], path.relative_to(_home_of(module)).as_posix()])] = path
        return dict(sorted(found.items()))


@functools.cache
def entries() -> tuple[EntryPoint, ...]:
    """Return all entry points of these groups, from one scan of the installed packages."""
    found = entry_points()
    return tuple(entry for group in (GROUP, *GROUPS) for entry in found.select(group=group))


def in_group(group: str) -> list[EntryPoint]:
    """Return the entry points of one group."""
    return [entry for entry in entries() if entry.group == group]


def packages() -> set[str]:
    """Return the names of installed packages that provide models or layers, including this one."""
    return {_OURS, *(_top(entry.module) for entry in entries() if entry.group in (GROUP, MODELS, LAYERS))}


@functools.cache
def plugins() -> tuple[Plugin, ...]:
    """Return the installed plugins, sorted by name."""
    found: dict[str, tuple[Distribution, list[str]]] = {}
    for entry in entries():
        if entry.dist is not None:
            found.setdefault(entry.dist.name, (entry.dist, []))[1].append(entry.module)
    return tuple(_plugin(*found[name]) for name in sorted(found))


def editable() -> list[Plugin]:
    """Return the plugins with an editable install."""
    return [plugin for plugin in plugins() if plugin.editable]


def owners(modules: Iterable[str]) -> list[Plugin]:
    """Return the plugins that contain these modules."""
    asked = [f"{module}." for module in modules]
    return [
        plugin for plugin in plugins() if any(name.startswith(f"{own}.") for name in asked for own in plugin.modules)
    ]


@functools.cache
def digests(plugin: Plugin) -> Mapping[str, str]:
    """Return the digest of each file of a plugin, as read at the first call in this process."""
    return {
        name: hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS]
        for name, path in plugin.files().items()
        if path.is_file()
    }


def digest(plugin: Plugin) -> str:
    """Return one digest of all files of a plugin."""
    lines = "".join(f"{name} {content}\n" for name, content in digests(plugin).items())
    return hashlib.sha256(lines.encode()).hexdigest()[:_DIGITS]


def forget() -> None:
    """Clear the caches, for a program that installs a package itself."""
    entries.cache_clear()
    plugins.cache_clear()
    digests.cache_clear()


def made(plain: Mapping[str, Any]) -> Callable[..., Any]:
    """Return the callable that `{"target": "package.module:name", "arguments": {...}}` names, with bound arguments.

    An argument of the same form is replaced by the callable that it names, also inside a mapping.
    """
    return partial(named(plain["target"]), **_with_made(plain["arguments"]))


def _with_made(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Replace arguments that name a callable by the callable, also inside mappings."""
    return {
        key: made(value) if _is_made(value) else _with_made(value) if isinstance(value, dict) else value
        for key, value in arguments.items()
    }


def named(target: str) -> Any:  # noqa: ANN401 - any object
    """Import and return the object `package.module:name`."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def _is_made(value: object) -> bool:
    """Return whether a value has the form that `made` takes."""
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
    """Return the topmost regular package that contains a module, below any namespace package; or the module itself."""
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
    """Return the folder from which a top-level package or module is imported."""
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
    found = (path.relative_to(place.parent) for path in sorted(place.parent.rglob("*")) if path.is_file())
    return [place.parent / path for path in found if not _is_skipped(path)]


def _is_skipped(path: Path) -> bool:
    """Return whether a file is compiled, hidden (`.env`, an editor's `.swp`), or a backup of an editor."""
    hidden = any(part.startswith(".") or part == "__pycache__" for part in path.parts)
    return hidden or path.suffix == ".pyc" or path.name.endswith("~")
