"""What a machine has, as far as it can be looked at without a cluster."""

import sys
from importlib.metadata import version
from pathlib import Path

from tune_jobs.cluster.probe import look


def test_a_machine_says_what_it_has(tmp_path: Path) -> None:
    mark = tmp_path / ".probe"
    mark.touch()
    found = look({"mark": str(mark), "packages": ["torch", "nonsense"], "data": [["nonsense", None, ["train"]]]})
    assert found["python"] == ".".join(map(str, sys.version_info[:3]))
    assert found["versions"] == {"torch": version("torch"), "nonsense": None}
    assert (found["sees_storage"], found["writes_storage"]) == (True, True)
    (missing,) = found["data"]
    assert (missing["name"], missing["digests"]) == ("nonsense", None)
    assert "nonsense" in missing["error"]


def test_a_folder_that_is_another_one_here_is_not_seen(tmp_path: Path) -> None:
    found = look({"mark": str(tmp_path / "not here"), "packages": [], "data": []})
    assert not found["sees_storage"]
    assert not look({"mark": None, "packages": [], "data": []})["sees_storage"]
