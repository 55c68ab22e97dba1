"""The probe of a single machine, which needs no cluster."""

import json
import os
import shutil
import subprocess
import sys
import venv
from importlib.metadata import version
from pathlib import Path

from convnn.plugins import digest, plugins
from tests.installing import install, installed
from tune_jobs.cluster.probe import look

ROOT = Path(__file__).parents[3]


def test_a_machine_reports_what_it_has(tmp_path: Path) -> None:
    mark = tmp_path / ".probe"
    mark.touch()
    found = look({"mark": str(mark), "packages": ["torch", "nonsense"], "data": [["nonsense", None, ["train"]]]})
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"] == {"torch": version("torch"), "nonsense": None}
    assert (found["sees_storage"], found["writes_storage"]) == (True, True)
    (missing,) = found["data"]
    assert (missing["name"], missing["digests"]) == ("nonsense", None)
    assert "nonsense" in missing["error"]


def test_a_machine_reports_its_installed_plugins_not_uploaded_ones(tmp_path: Path) -> None:
    """Use a separate environment: the probe looks only there, not at PYTHONPATH, which contains uploaded code."""
    venv.create(tmp_path / "machine")
    (packages,) = (tmp_path / "machine" / "lib").glob("python*/site-packages")
    install(tmp_path / "site")
    shutil.copytree(tmp_path / "site", packages, dirs_exist_ok=True)
    with installed(packages):
        here = {plugin.name: {"version": plugin.version, "digest": digest(plugin)} for plugin in plugins()}
    (tmp_path / "site" / "my_kinds" / "layers.py").write_text("uploaded, and different")
    paths = [ROOT, tmp_path / "site", *(path for path in sys.path if path.endswith("site-packages"))]
    script = "import json; from tune_jobs.cluster.probe import _plugins; print(json.dumps(_plugins()))"
    done = subprocess.run(
        [tmp_path / "machine" / "bin" / "python", "-c", script],
        env={"PYTHONPATH": os.pathsep.join(map(str, paths))},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == here
    assert set(here) == {"my-kinds"}


def test_a_storage_folder_without_the_mark_is_not_the_same(tmp_path: Path) -> None:
    found = look({"mark": str(tmp_path / "not here"), "packages": [], "data": []})
    assert not found["sees_storage"]
    assert not look({"mark": None, "packages": [], "data": []})["sees_storage"]
