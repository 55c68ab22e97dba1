"""The probe of a single machine, which needs no cluster."""

import sys
from importlib.metadata import version
from pathlib import Path

from tune_jobs.cluster.probe import look


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


def test_a_storage_folder_without_the_mark_is_not_the_same(tmp_path: Path) -> None:
    found = look({"mark": str(tmp_path / "not here"), "packages": [], "data": []})
    assert not found["sees_storage"]
    assert not look({"mark": None, "packages": [], "data": []})["sees_storage"]
