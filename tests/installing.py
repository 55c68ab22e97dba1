"""Temporary installation of plugins for a test, into a folder on Python's path."""

import contextlib
import functools
import importlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from pathlib import Path

from convnn import plugins
from convnn.data.facts import DATASETS, unregister_dataset
from search_spaces.registry import _State, registries

SOURCE = Path(__file__).parent / "plugin"
"""A plugin with kinds of all groups; the documentation shows it."""


def install(site: Path) -> Path:
    """Install the plugin with pip into the folder `site`, without network; return the folder."""
    shutil.copytree(_built(), site)
    return site


@functools.cache
def _built() -> Path:
    """Install the plugin once per test process; return the folder."""
    place = Path(tempfile.mkdtemp(prefix="convnn-plugin-", dir=os.environ["CONVNN_TEST_SCRATCH"]))
    shutil.copytree(SOURCE, place / "source")  # the build writes to it
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--no-compile"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(place / "site"), str(place / "source")]
    subprocess.run(command, check=True, cwd=place)
    return place / "site"


def edited(site: Path) -> Path:
    """Turn the installation into an editable one."""
    (info,) = site.glob("*.dist-info")
    (info / "direct_url.json").write_text(json.dumps({"url": site.as_uri(), "dir_info": {"editable": True}}))
    return site


def write_plugin(site: Path, name: str, files: Mapping[str, str], entries: Mapping[str, str]) -> Path:
    """Write files and the metadata of their installation; `entries` are the lines of each group."""
    for path, text in files.items():
        (site / path).parent.mkdir(parents=True, exist_ok=True)
        (site / path).write_text(text)
    info = site / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("".join(f"[{group}]\n{lines}\n" for group, lines in entries.items()))
    return site


@contextlib.contextmanager
def installed(site: Path) -> Iterator[Path]:
    """Make the packages in `site` available in this process."""
    before, data = {registry: dict(registry._by_name) for registry in registries()}, set(DATASETS)
    sys.path.insert(0, str(site))
    _scan_again()
    try:
        yield site
    finally:
        sys.path.remove(str(site))
        for registry, by_name in before.items():
            registry._changed(by_name)
        for name in set(DATASETS) - data:
            unregister_dataset(name)
        for name in [name for name, module in sys.modules.items() if str(site) in str(getattr(module, "__file__", ""))]:
            del sys.modules[name]
        _scan_again()


def _scan_again() -> None:
    importlib.invalidate_caches()
    plugins.forget()
    _State.loaded, _State.waiting = False, list(registries())
    _State.left_out.clear()
