"""Find kinds by name and check their properties."""

from collections.abc import Callable, Iterator
from importlib.metadata import EntryPoint

from convnn import plugins
from convnn.data.facts import DATASETS, module_of
from convnn.plugins import digest, owners
from search_spaces.kinds import kind_of
from search_spaces.models import ModelConfig
from search_spaces.models.base import MixingLayer
from search_spaces.reading.fields import literal_of
from search_spaces.reading.likeness import nearest
from search_spaces.registry import left_out, registries
from search_spaces.settings import SamplerSettings
from tune_jobs.conformance import datasets, models, rules, samplers
from tune_jobs.conformance.kinds import Subject
from tune_jobs.conformance.outcome import Checked, CheckedKind, Property, checked, said
from tune_jobs.errors import UsageError

Tell = Callable[[str | Checked], None]
"""Receives the name of each kind, then the result for each of its properties."""

FACTS = "convnn.data.facts"


def check(name: str, tell: Tell, root: str | None = None) -> list[CheckedKind]:
    """Check all kinds with this name, or all kinds of the package with this name.

    Args:
        name: Name of a kind or of an installed distribution.
        tell: Receives the results as they appear.
        root: The folder of a data set's files.

    Raises:
        UsageError: If no kind and no package has this name.
    """
    there, broken = subjects(), left_out()
    chosen = [each for each in there if name in (each.name, each.plugin.name if each.plugin else None)]
    failed = [entry for entry in broken if name in (entry.name, entry.dist.name if entry.dist else None)]
    if not chosen and not failed:
        known = dict.fromkeys([*(each.name for each in there), *(plugin.name for plugin in plugins.plugins())])
        raise UsageError(
            f"NAME must be a kind, or an installed package that adds kinds, got {name!r}; {nearest(name, known)}"
        )
    found = [_left_out(entry, broken[entry], tell) for entry in failed]
    return [*found, *(_checked(subject, tell, root) for subject in chosen)]


def subjects() -> list[Subject]:
    """Return all registered kinds."""
    found = []
    for registry in registries():
        for kind in registry.classes():
            name = literal_of(kind, registry.key)
            owner = next(iter(owners(kind_of(registry.group, kind, name).modules)), None)
            found.append(Subject(registry.group, name, owner, kind, kind.__module__, registry.key))
    for name, facts in DATASETS.items():
        module = module_of(name)
        owner = next(iter(owners([module] if module else [])), None)
        entries = (entry.module for entry in plugins.in_group(plugins.DATASETS) if entry.name == name)
        found.append(Subject(plugins.DATASETS, name, owner, facts, next(entries, module or FACTS)))
    return found


def properties_of(subject: Subject, root: str | None = None) -> list[Property]:
    """Return the properties that are checked for a kind."""
    if subject.group == plugins.DATASETS:
        return datasets.properties(subject, root)
    if issubclass(subject.found, ModelConfig | MixingLayer):
        return models.properties(subject)
    return samplers.properties(subject) if issubclass(subject.found, SamplerSettings) else rules.properties(subject)


def _checked(subject: Subject, tell: Tell, root: str | None) -> CheckedKind:
    plugin, version = subject.plugin, subject.found.config_version
    owner = f"{plugin.name} {plugin.version}" if plugin else "built-in"
    tell(f"{subject.group} {subject.name} ({owner})")
    return CheckedKind(
        subject.group,
        subject.name,
        plugin.name if plugin else None,
        plugin.version if plugin else None,
        digest(plugin) if plugin else None,
        version,
        list(_told(checked(properties_of(subject, root)), tell)),
    )


def _left_out(entry: EntryPoint, error: Exception, tell: Tell) -> CheckedKind:
    """Report an entry point that could not be registered."""
    name, version = (entry.dist.name, entry.dist.version) if entry.dist else (None, None)
    tell(f"{entry.group} {entry.name} ({name} {version})")
    found = [Checked("it can be registered", ok=False, says=f"{entry.value}: {said(error)}")]
    return CheckedKind(entry.group, entry.name, name, version, None, None, list(_told(iter(found), tell)))


def _told(found: Iterator[Checked], tell: Tell) -> Iterator[Checked]:
    for each in found:
        tell(each)
        yield each
