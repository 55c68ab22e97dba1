"""Sweeps that ship with the package: YAML files, named by their file names."""

import re
from pathlib import Path

from search_spaces.reading.likeness import MOST_ALIKE, alike, did_you_mean

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """Return the presets' names, sorted with numbers by value: figure3 before figure10."""
    return sorted((path.stem for path in FOLDER.glob("*.yaml")), key=_by_number)


def _by_number(name: str) -> list[int | str]:
    return [int(part) if part.isdecimal() else part for part in re.split(r"([0-9]+)", name)]


def hint(name: str) -> str:
    """Suggest the preset that an unknown name most likely meant, or how to list all presets."""
    found = alike(name, names())
    return did_you_mean(found) if 0 < len(found) <= MOST_ALIKE else "to list the presets: convnn presets"


def path(name: str) -> Path:
    """Return the file of the preset `name`."""
    return FOLDER / f"{name}.yaml"


def summary(name: str) -> str:
    """Return the purpose of the preset: the first line of its file."""
    return path(name).read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
