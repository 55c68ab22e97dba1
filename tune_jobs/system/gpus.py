"""Whether this machine has a GPU, without torch, which takes seconds to load."""

from pathlib import Path

_DEVICES = ("nvidia[0-9]*", "dxg", "kfd")
"""NVIDIA's, those of Windows' Linux, and AMD's."""


def has_gpu(root: Path = Path("/")) -> bool:
    """Whether there is a device that torch could use; `root` is where /dev is."""
    return any(file for pattern in _DEVICES for file in (root / "dev").glob(pattern))
