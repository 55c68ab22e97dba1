"""The plugins that a sweep uses: their versions and the digest of their code, recorded and compared at each start."""

from collections.abc import Iterable, Mapping, Sequence

from typing_extensions import TypedDict  # typing's own is not enough for pydantic before Python 3.12

from convnn import plugins
from convnn.plugins import digest, digests, owners
from search_spaces import SweepSpec, TrialConfig
from search_spaces.kinds import Kind, dataset_kind, kind_of, kinds_below, kinds_in

NAMED = 5
"""Maximum number of files that a message names."""


class Recorded(TypedDict):
    """The record of a plugin."""

    version: str
    digest: str
    """One digest of all its files."""

    kinds: dict[str, int | None]
    """The `config_version` of each of its kinds that the sweep uses, by group and name."""

    files: dict[str, str]
    """The digest of each file."""


Plugins = dict[str, Recorded]
"""The recorded plugins, by the name of the distribution."""


def used_by(spec: SweepSpec) -> Plugins:
    """Return the plugins of all kinds that a sweep may use, as installed here."""
    kinds = [*kinds_below(spec.space.root), *(dataset_kind(data.name) for data in spec.space.data_sets())]
    kinds.append(kind_of(plugins.SAMPLERS, type(spec.search), spec.search.sampler))
    kinds.append(kind_of(plugins.STOPPING_RULES, type(spec.stopping), spec.stopping.kind))
    return _plugins_of(kinds)


def digests_for(config: TrialConfig) -> dict[str, str]:
    """Return the digest of each plugin that one trial uses, as installed here."""
    return {name: found["digest"] for name, found in _plugins_of(kinds_in(config)).items()}


def versions_changed(before: Mapping[str, Recorded], now: Mapping[str, Recorded]) -> list[str]:
    """Return the kinds with another `config_version` than before, one line each: `kind: before -> now`."""
    left, right = _versions(before), _versions(now)
    return [
        f"{kind}: config_version {left.get(kind) or 'none'} -> {version or 'none'}"
        for kind, version in right.items()
        if left.get(kind) != version
    ]


def code_changed(before: Mapping[str, Recorded], now: Mapping[str, Recorded]) -> list[str]:
    """Return the plugins with other code than before, one line each, also if their kinds were in another plugin."""
    return [
        f"{_renamed(old, name, before[old], found)}: {_files_said(before[old]['files'], found['files'])}"
        for name, found in now.items()
        for old in before
        if (old == name or _moved(old, before, now) & found["kinds"].keys())
        and before[old]["digest"] != found["digest"]
    ]


def missing(before: Mapping[str, Recorded]) -> list[str]:
    """Return the plugins that are not installed here, with their recorded versions."""
    here = {plugin.name for plugin in plugins.plugins()}
    return [f"{name} {found['version']}" for name, found in before.items() if name not in here]


def not_installed(sweep: str, lacking: Sequence[str]) -> str:
    """Return the message for a sweep whose plugins are not installed here."""
    named = ", ".join(lacking)
    return f"the sweep {sweep} was run with the plugin {named}, which is not installed here; install it with pip."


def _plugins_of(kinds: Iterable[Kind]) -> Plugins:
    found: Plugins = {}
    for kind in kinds:
        for plugin in owners(kind.modules):
            empty = Recorded(version=plugin.version, digest=digest(plugin), kinds={}, files=dict(digests(plugin)))
            found.setdefault(plugin.name, empty)["kinds"][f"{kind.group} {kind.name}"] = kind.config_version
    return dict(sorted(found.items()))


def _versions(found: Mapping[str, Recorded]) -> dict[str, int | None]:
    return {kind: version for plugin in found.values() for kind, version in plugin["kinds"].items()}


def _moved(name: str, before: Mapping[str, Recorded], now: Mapping[str, Recorded]) -> set[str]:
    """Return the kinds that a plugin provided before and does not provide now."""
    return before[name]["kinds"].keys() - (now[name]["kinds"] if name in now else {})


def _renamed(old: str, name: str, before: Recorded, now: Recorded) -> str:
    if old != name:
        return f"{old} {before['version']} -> {name} {now['version']}"
    changed = "" if before["version"] == now["version"] else f"{before['version']} -> "
    return f"{name} {changed}{now['version']}"


def _files_said(before: Mapping[str, str], now: Mapping[str, str]) -> str:
    """Return the files that differ, in words."""
    changes = {
        "changed": [name for name in now if name in before and before[name] != now[name]],
        "new": [name for name in now if name not in before],
        "gone": [name for name in before if name not in now],
    }
    return ", ".join(f"{how} {_some(names)}" for how, names in changes.items() if names)


def _some(names: list[str]) -> str:
    more = len(names) - NAMED
    return ", ".join(names[:NAMED]) + (f" and {more} more" if more > 0 else "")
