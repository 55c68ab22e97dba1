"""Which packages we need at run time, and which are here."""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, version

DISTRIBUTION = "convnn-sweeps"
"""What packagers call ours."""

PYTHON = "Python"
"""Its name among the versions of packages."""


def required() -> dict[str, str]:
    """What we need at run time, Python and packages, and which versions of it, as our own metadata says."""
    from packaging.requirements import Requirement

    try:
        ours = distribution(DISTRIBUTION)
    except PackageNotFoundError:
        return {}
    needs = [Requirement(line) for line in ours.requires or []]
    always = {
        need.name: str(need.specifier) for need in needs if not need.marker or need.marker.evaluate({"extra": ""})
    }
    return {PYTHON: ours.metadata["Requires-Python"], **always}


def wrong_versions(versions: Mapping[str, str | None]) -> Iterator[str]:
    """Of packages with these versions, those that are missing or of another version than we need."""
    from packaging.specifiers import SpecifierSet

    for name, specifier in required().items():
        there = versions.get(name)
        if there is None:
            yield f"{name} is missing"
        elif not SpecifierSet(specifier).contains(there, prereleases=True):
            yield f"{name} is {there}, needed is {specifier}"


def versions_here() -> dict[str, str | None]:
    """The versions of what we need, on this machine."""
    found: dict[str, str | None] = {}
    for name in required():
        try:
            found[name] = platform.python_version() if name == PYTHON else version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def shown(versions: Mapping[str, str | None]) -> str:
    """The versions that people ask for first."""
    return ", ".join(f"{name} {versions.get(name)}" for name in (PYTHON, "torch", "ray", "optuna", "mlflow"))
