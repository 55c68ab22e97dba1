"""The wheel, and the upload to a cluster, have the checkout's files; an editable install hides missing files."""

import zipfile
from pathlib import Path

import pytest

from tests.wheel import PACKAGES, build_wheel, tracked_files
from tune_jobs.cluster.package import TASK, write_package


def contents(archive: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(archive) as found:
        return {name: found.read(name) for name in found.namelist()}


def beside_metadata(found: dict[str, bytes]) -> dict[str, bytes]:
    return {name: content for name, content in found.items() if ".dist-info/" not in name}


def test_the_checkout_has_the_files_to_compare() -> None:
    found = tracked_files()
    assert {name.partition("/")[0] for name in found} == set(PACKAGES)
    kinds = {".py", ".yaml", ".css", ".html", ".js", ".json", ".typed", ".parquet", ".LICENSE"}
    assert {Path(name).suffix for name in found} == kinds


def test_the_wheel_has_exactly_the_files_of_the_packages(tmp_path: Path) -> None:
    found = contents(build_wheel(tmp_path))
    assert beside_metadata(found) == tracked_files()
    metadata = {name.partition("/")[2] for name in found if ".dist-info/" in name}
    assert metadata == {"METADATA", "RECORD", "WHEEL", "entry_points.txt", "licenses/LICENSE", "top_level.txt"}


@pytest.mark.parametrize("code", [True, False])
def test_a_job_gets_all_files_of_the_packages_or_none(tmp_path: Path, code: bool) -> None:
    write_package(tmp_path / "package.zip", {}, code=code)
    found = beside_metadata(contents(tmp_path / "package.zip"))
    assert found.pop(TASK)
    assert found == (tracked_files() if code else {})
