"""In what this process trains."""

import functools
import hashlib
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import convnn
import search_spaces
from tune_jobs.record.environment import Environment
from tune_jobs.system.cpus import cpu_model
from tune_jobs.system.packages import DISTRIBUTION

COMPUTE = (DISTRIBUTION, "torch", "numpy", "numba")
"""Packages whose version may show in the digits."""

_CODE = (Path(convnn.__file__).parent, Path(search_spaces.__file__).parent, Path(__file__).parent)
_DIGITS = 16


def environment_here(plugins: Mapping[str, str] | None = None) -> Environment:
    """That of this thread: torch has a number of threads for each.

    Args:
        plugins: The digests of the plugins that it trains with.
    """
    import torch

    from convnn.training import STATE_VERSION

    return Environment(
        threads=torch.get_num_threads(),
        cpu=cpu_model(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        packages={**dict(_versions()), "torch": torch.__version__},  # which names its build, too
        code=code_digest(),
        numbers=STATE_VERSION,
        plugins=dict(plugins or {}),
    )


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in COMPUTE:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


@functools.cache
def code_digest(folders: tuple[Path, ...] = _CODE) -> str:
    """A text that is equal where the code that trains is."""
    sha = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            sha.update(f"{folder.name}/{file.relative_to(folder)}\n".encode())
            sha.update(hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()[:_DIGITS]
