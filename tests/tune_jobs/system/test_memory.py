from pathlib import Path

import pytest

from tune_jobs.system.memory import lacking, usable_memory_gb


@pytest.mark.parametrize(
    ("mine", "files", "expected"),
    [
        ("0::/\n", {}, 16.384),
        ("0::/\n", {"memory.max": "max\n"}, 16.384),
        ("0::/a/b\n", {"a/memory.max": "4000000000\n", "a/b/memory.max": "max\n"}, 4.0),  # of the group above
        ("4:cpu:/\n5:memory:/d\n", {"memory/d/memory.limit_in_bytes": "2000000000\n"}, 2.0),
    ],
)
def test_the_smallest_limit_of_machine_and_control_groups_counts(
    tmp_path: Path, mine: str, files: dict[str, str], expected: float
) -> None:
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(mine)
    (tmp_path / "proc/meminfo").write_text("MemTotal:       16000000 kB\nMemFree: 1 kB\n")
    for name, text in files.items():
        file = tmp_path / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert usable_memory_gb(tmp_path) == pytest.approx(expected)


def test_there_is_no_message_if_memory_is_unknown(tmp_path: Path) -> None:
    assert usable_memory_gb(tmp_path) is None
    assert lacking(99, 9, None) is None
    assert lacking(2, 3, 6) is None
    assert lacking(2, 4, 6) == "4 trials at a time may need 8 GB of memory, but this machine has 6 GB"
