"""The wheel of this project, built from the files that git tracks."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("convnn", "search_spaces", "tune_jobs")
OTHERS = ("LICENSE", "README.md", "pyproject.toml")


def tracked_files() -> dict[str, bytes]:
    """Return the files of the three packages that git tracks, or would add, by their path in the checkout."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard", "--", *PACKAGES]
    listed = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    paths = {name: ROOT / name for name in listed.split("\0") if name}
    return {name: path.read_bytes() for name, path in paths.items() if path.exists()}


def build_wheel(place: Path) -> Path:
    """Build the wheel in a copy of the checkout, without network; `place` is an empty folder."""
    source = place / "source"
    for name, content in tracked_files().items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_bytes(content)
    for name in OTHERS:
        shutil.copy(ROOT / name, source)
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", str(place)]
    subprocess.run(
        [sys.executable, "-m", "pip", "wheel", *options, str(source)],
        check=True,
        cwd=place,
        env={name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
    )
    (wheel,) = place.glob("*.whl")
    return wheel
