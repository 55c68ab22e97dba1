import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from tune_jobs.system.cpus import Cpus, cpu_model, usable_cpus

MACHINE = 64

IN_V1 = "4:cpu,cpuacct:/d\n1:name=systemd:/d\n"


def v1(quota: str, place: str = "") -> dict[str, str]:
    return {f"cpu,cpuacct/{place}cpu.cfs_{name}_us": text for name, text in (("quota", quota), ("period", "100000"))}


@pytest.fixture(autouse=True)
def _large_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "cpu_count", lambda: MACHINE)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(MACHINE)), raising=False)
    monkeypatch.delenv("SLURM_CPUS_ON_NODE", raising=False)


def root(place: Path, mine: str, files: dict[str, str]) -> Path:
    """Make a /proc and a /sys for a process in these control groups."""
    (place / "proc/self").mkdir(parents=True)
    (place / "proc/self/cgroup").write_text(mine)
    for name, text in files.items():
        file = place / "sys/fs/cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return place


@pytest.mark.parametrize(
    ("mine", "files", "count"),
    [
        ("", {}, MACHINE),  # not Linux
        ("0::/\n", {"cpu.max": "max 100000\n"}, MACHINE),
        ("0::/\n", {"cpu.max": "350000 100000\n"}, 3),  # a container
        ("0::/\n", {"cpu.max": "50000 100000\n"}, 1),  # half a CPU is enough for one trial at a time
        ("0::/a/b\n", {"a/cpu.max": "200000 100000\n", "a/b/cpu.max": "max 100000\n"}, 2),  # of the group above
        ("0::/a\n", {"a/cpu.max": "800000 100000\n", "cpu.max": "400000 100000"}, 4),
        ("0::/../outside\n", {"cpu.max": "700000 100000\n"}, 7),
        (IN_V1, v1("600000\n", "d/"), 6),
        (IN_V1, v1("-1\n", "d/"), MACHINE),
        (IN_V1, v1("500000\n"), 5),  # a container that is told about a group outside it
        ("nonsense\n0::\n\n", {"cpu.max": "four of them\n"}, MACHINE),
    ],
)
def test_the_smallest_quota_of_the_control_groups_counts(
    tmp_path: Path, mine: str, files: dict[str, str], count: int
) -> None:
    assert usable_cpus(root(tmp_path, mine, files)).count == count


def test_the_cpus_of_a_slurm_job_count(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "8")
    found = usable_cpus(root(tmp_path, "0::/\n", {"cpu.max": "1000000 100000\n"}))
    assert found == Cpus(8, MACHINE, "Slurm (SLURM_CPUS_ON_NODE)")
    assert str(found) == "8 of 64, by Slurm (SLURM_CPUS_ON_NODE)"
    monkeypatch.setenv("SLURM_CPUS_ON_NODE", "0")
    assert usable_cpus(tmp_path).count == 10


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="affinity exists only on Linux")
def test_a_process_bound_to_one_cpu_may_use_one() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))}); "
        "from tune_jobs.system.cpus import usable_cpus; print(usable_cpus().count)"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "1\n"


@pytest.mark.parametrize(
    ("text", "model"),
    [
        (
            "processor\t: 0\nmodel\t: 17\nmodel name\t: AMD EPYC\ncpu family\t: 25\nstepping : 1\n",
            "AMD EPYC (25, 17, 1)",
        ),
        ("processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd40\n\nHardware: x\n", "arm (0x41, 0xd40)"),
        ("", "arm"),
    ],
)
def test_the_cpu_model_has_the_name_and_numbers_of_the_machine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, model: str
) -> None:
    monkeypatch.setattr(platform, "machine", lambda: "arm")
    monkeypatch.setattr(sys, "platform", "linux")
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cpuinfo").write_text(text)
    assert cpu_model(tmp_path) == model
