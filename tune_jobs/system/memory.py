"""The memory that this process may use, and whether trials fit into it."""

from collections.abc import Iterator
from pathlib import Path

from tune_jobs.system.groups import groups_of, read_text


def usable_memory_gb(root: Path = Path("/")) -> float | None:
    """Return the machine's memory within the limits of its control groups, in 10^9 bytes; `None` if unknown.

    `root` is the folder that holds /proc and /sys.
    """
    return min(_limits(root), default=None)


def _limits(root: Path) -> Iterator[float]:
    for line in read_text(root / "proc/meminfo").splitlines():
        words = line.split()
        if words[:1] == ["MemTotal:"]:
            yield int(words[1]) * 1024 / 1e9
    for group in groups_of(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            if (text := read_text(group / name).strip()).isdigit():
                yield int(text) / 1e9


def lacking(needed_gb: float, at_once: int, usable_gb: float | None) -> str | None:
    """Return a clause saying that this many trials do not fit into memory; `None` if they fit."""
    if usable_gb is None or at_once * needed_gb <= usable_gb:
        return None
    some = f"{at_once} trials at a time" if at_once > 1 else "a trial"
    return f"{some} may need {at_once * needed_gb:.3g} GB of memory, but this machine has {usable_gb:.3g} GB"
