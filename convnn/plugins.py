"""Packages that add models."""

from importlib.metadata import entry_points

GROUP = "convnn_sweeps.models"
"""The entry points by which they do."""


def packages() -> set[str]:
    """The installed ones by name, this one among them."""
    return {__name__.partition(".")[0], *(entry.module.partition(".")[0] for entry in entry_points(group=GROUP))}
