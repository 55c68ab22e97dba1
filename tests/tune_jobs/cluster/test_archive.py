"""A hostile archive is refused, and none of its files is left."""

import gzip
import io
import tarfile
from pathlib import Path
from typing import Any

import pytest

from tune_jobs.cluster import archive as module
from tune_jobs.cluster.archive import unpack
from tune_jobs.errors import ClusterError

HEAD = "http://head:8265"


def entry(name: str, kind: bytes = tarfile.REGTYPE, content: bytes = b"", **more: Any) -> tuple[tarfile.TarInfo, bytes]:
    info = tarfile.TarInfo(name)
    info.type, info.size = kind, len(content)
    for attribute, value in more.items():
        setattr(info, attribute, value)
    return info, content


def archive_of(place: Path, *entries: tuple[tarfile.TarInfo, bytes]) -> Path:
    with tarfile.open(place, "w:gz") as archive:
        for info, content in entries:
            archive.addfile(info, io.BytesIO(content))
    return place


GOOD = entry("trials/a/1/log.txt", content=b"epoch 1\n")
HOSTILE = {
    "absolute": (entry("/etc/outside"), "leads outside its folder"),
    "a way up": (entry("trials/../../outside"), "leads outside its folder"),
    "this folder": (entry("./outside"), "leads outside its folder"),
    "symbolic link": (entry("link", tarfile.SYMTYPE, linkname="/etc/passwd"), "not a regular file"),
    "hard link": (entry("link", tarfile.LNKTYPE, linkname="trials/a/1/log.txt"), "not a regular file"),
    "device": (entry("null", tarfile.CHRTYPE, devmajor=1, devminor=3), "not a regular file"),
    "pipe": (entry("pipe", tarfile.FIFOTYPE), "not a regular file"),
    "long name": (entry("a" * 256), "too long"),
    "long path": (entry("/".join(["a" * 100] * 11)), "too long"),
    "newline": (entry("a\nb"), "has control characters"),
    "driver's note": (entry("driver.json", content=b"{}"), "only a running sweep has"),
    "file and folder": (entry("trials/a/1/log.txt/more"), "is a file and a folder"),
}


@pytest.mark.parametrize(("member", "wrong"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_archive_is_refused_in_one_line_and_leaves_no_files(
    tmp_path: Path, member: tuple[tarfile.TarInfo, bytes], wrong: str
) -> None:
    archive = archive_of(tmp_path / "copy.tar.gz", GOOD, member)
    with pytest.raises(ClusterError, match=wrong) as caught:
        unpack(archive, tmp_path / "in" / "copy", HEAD)
    assert HEAD in str(caught.value)
    assert str(caught.value).isprintable()
    assert sorted(tmp_path.rglob("*")) == [archive, tmp_path / "in"]


def test_a_regular_archive_is_unpacked(tmp_path: Path) -> None:
    unpack(archive_of(tmp_path / "copy.tar.gz", GOOD, entry("sweep.yaml", content=b"name: a")), tmp_path / "copy", HEAD)
    found = {str(path.relative_to(tmp_path / "copy")) for path in (tmp_path / "copy").rglob("*") if path.is_file()}
    assert found == {"trials/a/1/log.txt", "sweep.yaml"}
    assert (tmp_path / "copy" / "trials/a/1/log.txt").read_bytes() == b"epoch 1\n"


def test_an_archive_with_too_many_bytes_is_refused_before_it_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_SMALL", 10_000)
    archive = archive_of(tmp_path / "bomb.tar.gz", entry("zeros", content=bytes(10**7)))
    assert archive.stat().st_size < 20_000
    with pytest.raises(ClusterError, match="unpacks to more than the"):
        unpack(archive, tmp_path / "copy", HEAD)
    assert not (tmp_path / "copy").exists()


def test_an_archive_with_too_many_files_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_FILES", 50)
    archive = archive_of(tmp_path / "bomb.tar.gz", *(entry(f"{number}") for number in range(51)))
    with pytest.raises(ClusterError, match="more than 50 files"):
        unpack(archive, tmp_path / "copy", HEAD)
    assert not (tmp_path / "copy").exists()


def test_an_oversized_header_is_refused_without_being_read(tmp_path: Path) -> None:
    header = entry("x", tarfile.XHDTYPE, size=10**9)[0].tobuf(tarfile.USTAR_FORMAT)
    archive = tmp_path / "bomb.tar.gz"
    archive.write_bytes(gzip.compress(header + bytes(5 * 10**6)))
    with pytest.raises(ClusterError, match="an oversized header"):
        unpack(archive, tmp_path / "copy", HEAD)


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.9])
def test_a_truncated_archive_is_damaged(tmp_path: Path, kept: float) -> None:
    archive = archive_of(tmp_path / "copy.tar.gz", entry("noise", content=bytes(range(256)) * 100))
    whole = archive.read_bytes()
    archive.write_bytes(whole[: int(len(whole) * kept)])
    with pytest.raises(ClusterError, match="a damaged archive"):
        unpack(archive, tmp_path / "copy", HEAD)
    assert not (tmp_path / "copy").exists()


def test_a_file_that_is_not_an_archive_is_damaged(tmp_path: Path) -> None:
    for number, content in enumerate([b"\xff\x00 no archive", gzip.compress(b"no tar" * 500)]):
        archive = tmp_path / f"{number}.tar.gz"
        archive.write_bytes(content)
        with pytest.raises(ClusterError, match="a damaged archive"):
            unpack(archive, tmp_path / "copy", HEAD)
