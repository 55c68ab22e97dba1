"""Whether this machine has a GPU; does not import torch, which takes seconds."""

from pathlib import Path

from tune_jobs.system.groups import read_text

_DEVICES = ("nvidia[0-9]*", "dxg", "kfd")
"""Devices of NVIDIA, of the Windows Subsystem for Linux, and of AMD."""


def gpu_names(root: Path = Path("/")) -> list[str]:
    """Return the names of this machine's GPUs from NVIDIA's driver; empty if it gives none. `root` holds /proc."""
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    lines = (line.partition(":") for file in files for line in read_text(file).splitlines())
    return [value.strip() for key, _, value in lines if key == "Model"]


def has_gpu(root: Path = Path("/")) -> bool:
    """Whether this machine has a device that torch could use; `root` holds /dev."""
    return any(file for pattern in _DEVICES for file in (root / "dev").glob(pattern))
