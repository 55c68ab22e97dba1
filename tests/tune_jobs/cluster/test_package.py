import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from tune_jobs.cluster import package
from tune_jobs.cluster.package import code_digest, code_files, write_package
from tune_jobs.errors import UsageError


def test_equal_content_gives_an_equal_file(tmp_path: Path) -> None:
    for name in ("one.zip", "two.zip"):
        write_package(tmp_path / name, {"kind": "command"}, sweep="name: x")
    assert (tmp_path / "one.zip").read_bytes() == (tmp_path / "two.zip").read_bytes()


def test_the_uploaded_code_runs_without_the_local_code(tmp_path: Path) -> None:
    write_package(tmp_path / "package.zip", {})
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        archive.extractall(tmp_path / "there")
    script = (
        "import tune_jobs, sys; print(tune_jobs.__file__); from tune_jobs.cli import main; sys.argv[1:] = ['presets']"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{script}; main()"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path / "there",
        env={"PYTHONPATH": str(tmp_path / "there"), "PATH": ""},
    )
    assert done.stdout.startswith(str(tmp_path / "there"))
    assert "quickstart" in done.stdout
    assert code_digest(tmp_path / "there") == code_digest()


def test_only_the_sweeps_file_is_uploaded_if_the_code_is_installed(tmp_path: Path) -> None:
    size = write_package(tmp_path / "package.zip", {"kind": "command"}, sweep="name: x", code=False)
    with zipfile.ZipFile(tmp_path / "package.zip") as archive:
        assert archive.namelist() == ["sweep.yaml", "task.json"]
    assert size < 1000


def test_changed_code_has_another_digest(tmp_path: Path) -> None:
    for name, path in code_files().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(path.read_bytes())
    assert code_digest(tmp_path) == code_digest()
    (tmp_path / "convnn" / "layers.py").write_text("changed")
    assert code_digest(tmp_path) != code_digest()


def test_an_upload_beyond_the_limit_names_the_biggest_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(package, "UPLOAD_BYTES", 10_000)
    with pytest.raises(UsageError, match=r"at most 10 KiB, .* the biggest files are .*convnn/layers\.py \("):
        write_package(tmp_path / "package.zip", {})
