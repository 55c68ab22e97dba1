"""Which packages are required at run time, and which versions are installed."""

import platform
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, distribution, version

DISTRIBUTION = "convnn-sweeps"
"""The name of this project's distribution package."""

PYTHON = "Python"
"""Python's name among the package versions."""


def required() -> dict[str, str]:
    """Return the Python version and the packages required at run time, from this package's metadata."""
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
    """Yield a message for each required package that is missing or has an unsuitable version."""
    from packaging.specifiers import SpecifierSet

    for name, specifier in required().items():
        there = versions.get(name)
        if there is None:
            yield f"{name} is missing"
        elif not SpecifierSet(specifier).contains(there, prereleases=True):
            yield f"{name} is {there}, but {specifier} is required"


def versions_here() -> dict[str, str | None]:
    """Return the installed versions of the required packages; `None` for a missing one."""
    found: dict[str, str | None] = {}
    for name in required():
        try:
            found[name] = platform.python_version() if name == PYTHON else version(name)
        except PackageNotFoundError:
            found[name] = None
    return found


def shown(versions: Mapping[str, str | None]) -> str:
    """Format the versions that matter most."""
    return ", ".join(f"{name} {versions.get(name)}" for name in (PYTHON, "torch", "ray", "optuna", "mlflow"))
