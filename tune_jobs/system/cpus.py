"""The CPUs that this process may use, often fewer than the machine has; and the CPU model."""

import math
import os
import platform
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tune_jobs.system.groups import groups_of, read_text

_V1 = ("cpu.cfs_quota_us", "cpu.cfs_period_us")


@dataclass(frozen=True)
class Cpus:
    """A number of CPUs, and what limits it; `limit` is `None` if all CPUs of the machine may be used."""

    count: int
    machine: int
    limit: str | None

    def __str__(self) -> str:
        """`1 of 64, by affinity`."""
        return f"{self.count} of {self.machine}, by {self.limit}" if self.limit else f"{self.count}"


def usable_cpus(root: Path = Path("/")) -> Cpus:
    """Count the CPUs allowed by the process's affinity, the quotas of its control groups, and Slurm.

    The count is rounded down, but is at least one. `root` is the folder that holds /proc and /sys.
    """
    machine = os.cpu_count() or 1
    limits = [(float(machine), None), *_affinity(), *_quotas(root), *_slurm()]
    least, name = min(limits, key=lambda limit: limit[0])
    return Cpus(max(1, math.floor(least)), machine, name)


def cpu_model(root: Path = Path("/")) -> str:
    """Return the CPU's name, with the numbers that tell apart CPUs of the same name: `AMD EPYC (25, 17, 1)`."""
    lines = [line.partition(":") for line in read_text(root / "proc/cpuinfo").splitlines()]
    told = {name.strip(): value.strip() for name, _, value in reversed(lines)}  # of the first CPU
    numbers = ", ".join(told[name] for name in _NUMBERS if name in told)
    name = told.get("model name") or (_asked_of_macos() if sys.platform == "darwin" else "") or platform.machine()
    return f"{name} ({numbers})" if numbers else name


_NUMBERS = ("cpu family", "model", "stepping", "CPU implementer", "CPU part", "CPU variant", "CPU revision")
"""Fields of Linux's /proc/cpuinfo, on x86-64 and on arm64."""


def _asked_of_macos() -> str:
    asked = ["/usr/sbin/sysctl", "-n", "machdep.cpu.brand_string"]
    return subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip()  # noqa: S603


def _affinity() -> Iterator[tuple[float, str]]:
    if hasattr(os, "sched_getaffinity"):
        yield float(len(os.sched_getaffinity(0))), "affinity"


def _slurm() -> Iterator[tuple[float, str]]:
    given = os.environ.get("SLURM_CPUS_ON_NODE", "")
    if given.isdigit() and int(given) > 0:
        yield float(given), "Slurm (SLURM_CPUS_ON_NODE)"


def _quotas(root: Path) -> Iterator[tuple[float, str]]:
    """Yield the CPU quota of every control group of this process."""
    for group in groups_of(root, "cpu"):
        for words in (read_text(group / "cpu.max").split(), [read_text(group / name).strip() for name in _V1]):
            if len(words) == 2 and all(word.isdigit() and int(word) > 0 for word in words):  # noqa: PLR2004
                yield int(words[0]) / int(words[1]), "a control group's quota"
