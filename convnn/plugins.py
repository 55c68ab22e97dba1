"""Installed packages that add models."""

from importlib.metadata import entry_points

GROUP = "convnn_sweeps.models"
"""The entry point group of such packages."""


def packages() -> set[str]:
    """Return the names of installed packages that provide models, including this one."""
    return {__name__.partition(".")[0], *(entry.module.partition(".")[0] for entry in entry_points(group=GROUP))}
