"""The environment in which this process trains."""

import functools
import hashlib
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import convnn
import search_spaces
from tune_jobs.record.environment import Environment
from tune_jobs.system.cpus import cpu_model
from tune_jobs.system.packages import DISTRIBUTION

COMPUTE = (DISTRIBUTION, "torch", "numpy", "numba")
"""Packages whose version may change the last digits of results."""

_CODE = (Path(convnn.__file__).parent, Path(search_spaces.__file__).parent, Path(__file__).parent)
_DIGITS = 16


def environment_here() -> Environment:
    """Return the environment of this thread; torch's number of threads is per thread."""
    import torch

    from convnn.training import STATE_VERSION

    return Environment(
        threads=torch.get_num_threads(),
        cpu=cpu_model(),
        instructions=torch.backends.cpu.get_cpu_capability(),
        packages={**dict(_versions()), "torch": torch.__version__},  # includes the build
        code=code_digest(),
        numbers=STATE_VERSION,
    )


def _versions() -> list[tuple[str, str]]:
    found = []
    for name in COMPUTE:
        with suppress(PackageNotFoundError):
            found.append((name, version(name)))
    return found


@functools.cache
def code_digest(folders: tuple[Path, ...] = _CODE) -> str:
    """Return a digest of the training code; equal code gives an equal digest."""
    sha = hashlib.sha256()
    for folder in folders:
        for file in sorted(folder.rglob("*.py")):
            sha.update(f"{folder.name}/{file.relative_to(folder)}\n".encode())
            sha.update(hashlib.sha256(file.read_bytes()).digest())
    return sha.hexdigest()[:_DIGITS]
