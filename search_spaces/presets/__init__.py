"""Sweeps that come with the package: YAML files, named by their file names."""

from pathlib import Path

FOLDER = Path(__file__).parent


def names() -> list[str]:
    """The presets' names."""
    return sorted(path.stem for path in FOLDER.glob("*.yaml"))


def path(name: str) -> Path:
    """The file of the preset `name`."""
    return FOLDER / f"{name}.yaml"


def summary(name: str) -> str:
    """What the preset is for: the first line of its file."""
    return path(name).read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
