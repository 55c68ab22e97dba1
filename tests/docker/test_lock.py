"""The packages in requirements.lock, for which machines, and how `make install` and the image use it."""

import re
import runpy
import subprocess
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from tests.docker.engine import ROOT

LOCK = ROOT / "requirements.lock"
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SERVED = runpy.run_path(str(ROOT / "docker" / "served.py"))
REFUSAL: Callable[[tuple[int, int], str, str], str | None] = SERVED["refusal"]
MACHINES: tuple[tuple[str, str], ...] = SERVED["MACHINES"]
PYTHONS = [(3, minor) for minor in range(SERVED["FIRST"][1], SERVED["LAST"][1] + 1)]


def packages(text: str) -> dict[str, tuple[Requirement, list[str]]]:
    """Return each package's requirement and hashes in a lock, by name."""
    found = {}
    for line in text.replace("\\\n", "").splitlines():
        said, *hashes = line.split("--hash=")
        requirement = Requirement(said)
        found[requirement.name] = requirement, hashes
    return found


LOCKED = packages(LOCK.read_text())


def environment(python: tuple[int, int], system: str, machine: str) -> dict[str, str]:
    version = ".".join(map(str, python))
    known = {"python_version": version, "python_full_version": f"{version}.0", "platform_system": system}
    return known | {"sys_platform": system.lower(), "platform_machine": machine}


def applying(python: tuple[int, int], system: str, machine: str) -> set[str]:
    """Return the packages that pip would install there."""
    there = environment(python, system, machine)
    return {name for name, (said, _) in LOCKED.items() if said.marker is None or said.marker.evaluate(there)}


@pytest.mark.parametrize("machine", MACHINES, ids=" ".join)
@pytest.mark.parametrize("python", PYTHONS, ids=str)
def test_a_supported_machine_gets_every_package(python: tuple[int, int], machine: tuple[str, str]) -> None:
    assert REFUSAL(python, *machine) is None
    served = PYPROJECT["tool"]["uv"]["environments"]
    assert len(served) == len(MACHINES)
    assert sum(Marker(one).evaluate(environment(python, *machine)) for one in served) == 1
    project = PYPROJECT["project"]
    asked = {Requirement(text).name for text in [*project["dependencies"], *project["optional-dependencies"]["server"]]}
    assert asked <= applying(python, *machine)
    assert all(hashes for _, hashes in LOCKED.values())


@pytest.mark.parametrize(
    ("python", "system", "machine", "said"),
    [
        ((3, 10), "Linux", "x86_64", r"Python 3\.11 to 3\.14 is required, this is 3\.10; .*PYTHON="),
        ((3, 15), "Linux", "x86_64", r"Python 3\.11 to 3\.14 is required, this is 3\.15; "),
        ((3, 11), "Darwin", "x86_64", r".*this is Darwin on x86_64\. Use"),
        ((3, 11), "Linux", "ppc64le", r".*this is Linux on ppc64le\. Use"),
    ],
)
def test_an_unsupported_machine_is_refused_before_pip_starts(
    python: tuple[int, int], system: str, machine: str, said: str
) -> None:
    assert re.match(said, REFUSAL(python, system, machine) or "")
    assert not applying(python, system, machine) or python < (3, 11)  # the lock for 3.11 does not cover older versions


def test_the_lock_contains_no_addresses() -> None:
    assert "://" not in LOCK.read_text()
    assert "index" not in LOCK.read_text()


def test_the_cpu_build_is_the_locked_version_without_cuda(tmp_path: Path) -> None:
    pins = tmp_path / "torch.txt"
    command = ["awk", "-v", f"pins={pins}", "-f", str(ROOT / "docker" / "cpu.awk"), str(LOCK)]
    others = packages(subprocess.check_output(command, text=True))
    torch = {name: f"{name}{LOCKED[name][0].specifier}" for name in ("torch", "torchvision")}
    assert pins.read_text().split() == list(torch.values())
    cuda = LOCKED.keys() - applying((3, 11), "Darwin", "arm64")  # the packages not needed on macOS, which has no CUDA
    assert {"triton", "nvidia-cublas"} <= cuda
    assert others == {name: said for name, said in LOCKED.items() if name not in cuda | torch.keys()}
