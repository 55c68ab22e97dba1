"""Whether this machine has a GPU, without torch, which takes seconds to load."""

from pathlib import Path

from tune_jobs.system.groups import read_text

_DEVICES = ("nvidia[0-9]*", "dxg", "kfd")
"""NVIDIA's, those of Windows' Linux, and AMD's."""


def gpu_names(root: Path = Path("/")) -> list[str]:
    """What NVIDIA's driver calls the GPUs of this machine; none where it does not say. `root` is where /proc is."""
    files = sorted((root / "proc/driver/nvidia/gpus").glob("*/information"))
    lines = (line.partition(":") for file in files for line in read_text(file).splitlines())
    return [value.strip() for key, _, value in lines if key == "Model"]


def has_gpu(root: Path = Path("/")) -> bool:
    """Whether there is a device that torch could use; `root` is where /dev is."""
    return any(file for pattern in _DEVICES for file in (root / "dev").glob(pattern))
