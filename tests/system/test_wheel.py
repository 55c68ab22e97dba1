"""The wheel in a separate environment, which sees the locked packages and not the checkout."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest

from search_spaces import presets
from tests.faults.driving import OFFLINE
from tests.wheel import PACKAGES, ROOT, build_wheel
from tune_jobs.record.folder import SweepFolder

SECONDS = 600
WHERE = """
import json, sys
import convnn, search_spaces, tune_jobs
files = [package.__file__ for package in (convnn, search_spaces, tune_jobs)]
print(json.dumps([sys.path, files, list(map(repr, sys.meta_path))]))
"""
SMALL = ("search.trials=1", "space.training.epochs=2", "space.data.limit=200", "stopping.grace_epochs=1")
KEPT = ("PATH", "LANG", "TMPDIR", "OMP_NUM_THREADS", "CONVNN_TEST_CONNECTIONS")


class Installed:
    """An environment with the wheel, and a clean home."""

    def __init__(self, place: Path) -> None:
        self.place = place / "environment"
        self.home = place / "home"
        self.home.mkdir()
        venv.create(self.place, with_pip=False)
        self.python = self.place / "bin" / "python"
        (place / "dist").mkdir()
        wheel = build_wheel(place / "dist")
        options = ["--python", str(self.python), "install", "--quiet", "--no-deps", "--no-index"]
        subprocess.run([sys.executable, "-m", "pip", *options, str(wheel)], check=True, cwd=place)
        # A line of a .pth names a folder; .pth files in that folder, such as those of editable installs, are not read.
        code = "import sysconfig; print(sysconfig.get_path('purelib'))"
        Path(self(self.python, "-c", code).strip(), "locked.pth").write_text(sysconfig.get_path("purelib"))

    def __call__(self, program: Path, *arguments: str) -> str:
        """Return the output of a program of the environment, run outside the checkout."""
        done = subprocess.run(
            [program, *arguments],
            capture_output=True,
            text=True,
            check=False,
            timeout=SECONDS,
            cwd=self.home,
            env={
                **{name: os.environ[name] for name in KEPT if name in os.environ},
                "HOME": str(self.home),
                "PYTHONPATH": str(OFFLINE),
            },
        )
        assert done.returncode == 0, f"exit code {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done.stdout

    def convnn(self, *arguments: str) -> str:
        """Return the output of the environment's `convnn`."""
        return self(self.place / "bin" / "convnn", *arguments)


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Installed:
    return Installed(tmp_path_factory.mktemp("wheel"))


def test_the_environment_has_the_wheel_and_not_the_checkout(installed: Installed) -> None:
    path, files, finders = json.loads(installed(installed.python, "-c", WHERE))
    assert all(Path(file).is_relative_to(installed.place) for file in files)
    with_ours = [place for place in path if place and any((Path(place) / name).is_dir() for name in PACKAGES)]
    assert all(Path(place).is_relative_to(installed.place) for place in with_ours)
    assert str(ROOT) not in path
    assert not [finder for finder in finders if "__editable__" in finder]


def test_the_presets_are_there(installed: Installed) -> None:
    listed = json.loads(installed.convnn("presets", "--json"))
    assert [preset["name"] for preset in listed] == presets.names()


def test_the_quickstart_runs(installed: Installed) -> None:
    installed.convnn("run", "quickstart", *(word for each in SMALL for word in ("--set", each)))
    (sweep,) = json.loads(installed.convnn("list", "--json"))["sweeps"]
    assert (sweep["name"], sweep["state"], sweep["ended"]) == ("quickstart", "done", 1)
    assert "</html>" in SweepFolder(installed.home / "convnn-sweeps" / "quickstart").report.read_text()
